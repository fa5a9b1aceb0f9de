"""Invoices that are edited by one person at a time."""
