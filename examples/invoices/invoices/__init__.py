"""Invoices: a small web application, and what it takes to put Form lock beside it (README.md lists the six places)."""
