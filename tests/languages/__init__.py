"""Backends in other languages, run by their own interpreters against the real bridge."""
