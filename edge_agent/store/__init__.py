"""The agent's store: one SQLite file that keeps what was acknowledged."""
