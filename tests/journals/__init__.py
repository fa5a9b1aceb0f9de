"""The bridge's journals."""
