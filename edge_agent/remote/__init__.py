"""Remote reach: commands from afar, who may give them, and what they make the agent keep."""
