"""What to type for a package that is not installed. Vitalwire is in no index: it comes from its source."""

import json
from importlib import metadata
from pathlib import Path

NAME = "vitalwire"
SOURCE = Path(__file__).resolve().parents[1]


def remedy(extra: str) -> str:
    """The command that installs the extra `extra` into this Python, from where this copy came from."""
    if (SOURCE / "pyproject.toml").is_file():
        return f"pip install -e '{SOURCE}[{extra}]'"
    return f"pip install '{NAME}[{extra}] @ {_came_from()}'"


def _came_from() -> str:
    try:
        told = metadata.distribution(NAME).read_text("direct_url.json")
        return str(json.loads(told or "{}")["url"])
    except (metadata.PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        return "file:///path/to/vitalwire"
