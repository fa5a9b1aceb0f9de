"""One file for each command; what they share is `common.py`."""
