"""Operation: whether the agent gets on, what it says of itself, and what its machine lacks."""
