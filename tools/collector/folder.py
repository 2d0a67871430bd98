"""Where a collector keeps its things: the names within its state folder."""

import os
from pathlib import Path

KEY = "collector.key"
PUBLIC = "collector.pub"
STORE = "collector.sqlite3"
STATUS = "status.json"
AGENTS = "agents"
OPERATORS = "operators"
PSEUDONYMS = "pseudonyms.key"
LOCK = "collector.lock"
INSTANCE = "instance"


def default_state_dir() -> Path:
    """$XDG_DATA_HOME/vitalwire-collector, or ~/.local/share/vitalwire-collector."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vitalwire-collector"
