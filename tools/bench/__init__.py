"""Benchmarks: each a command that prints a table, writes JSON on request, and is behind a figure in docs/."""
