"""An application's records, as Django keeps them."""
