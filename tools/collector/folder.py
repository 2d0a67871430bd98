"""Where a collector keeps its things: the names within its state folder."""

import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.files import make_folder, private

KEY = "collector.key"
PUBLIC = "collector.pub"
STORE = "collector.sqlite3"
STATUS = "status.json"
AGENTS = "agents"
OPERATORS = "operators"
PSEUDONYMS = "pseudonyms.key"
LOCK = "collector.lock"
INSTANCE = "instance"
AUDIT = "audit.log"


def default_state_dir() -> Path:
    """$XDG_DATA_HOME/vitalwire-collector, or ~/.local/share/vitalwire-collector."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vitalwire-collector"


def note(state: Path, what: str, name: str, party: bytes) -> None:
    """Durably add a line to the log of who is believed here, before it is done: what, about whom, when, by
    which user. OSError.
    """
    uid = os.getuid() if hasattr(os, "getuid") else 0
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": at, "what": what, "name": name, "id": party.hex(), "uid": uid})
    with open(state / AUDIT, "a", encoding="utf-8", opener=private) as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole(out: Path) -> Generator[Path]:
    """A folder to write to, which becomes `out` when all went well, and is gone when it did not.

    FileExistsError: `out` is there. OSError.
    """
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} is there: nothing is written over, name a new folder, or remove it")
    make_folder(out.absolute().parent)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    try:
        yield draft
        os.rename(draft, out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
