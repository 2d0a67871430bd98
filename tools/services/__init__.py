"""Servers that the project talks to, started here and ended by their pid."""
