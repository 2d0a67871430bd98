"""Boards as their board.toml describes them: checked, listed, and drawn."""
