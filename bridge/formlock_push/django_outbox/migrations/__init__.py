"""How the table comes to be."""
