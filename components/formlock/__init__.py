"""Form lock: locks web forms while somebody edits them. Start reading at rules.py; docs/explanation tells the whole way."""

__version__ = "0.1.0"
