"""Nodes: their sessions, what the agent knows of them now, and what it asks of them."""
