"""Every frame of a store as JSON lines, in clear: for who wants the bytes and no protocol."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from edge_agent.files import fsync_folder, private
from edge_agent.store.database import Database
from edge_agent.store.rows import journal_rows
from edge_agent.store.schema import ENTRY_FRAME
from edge_agent.store.stats import CAUSES

AT_ONCE = 1000


def write_frames(db: Database, path: Path, shown: Callable[[int], object]) -> int:
    """Write them to `path`, which is there whole or not at all; how many. `shown` takes how many more.

    Each line: `node`, `boot` (hex), `seq`, `received_ms` (Unix), `plaintext` (hex), or `gone` with the
    reason. SealBroken; OSError, Error as they come.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    written = 0
    try:
        with open(new, "x", encoding="ascii", opener=private) as file:
            last = db.value("SELECT coalesce(max(id), 0) FROM journal")
            for first in range(1, last + 1, AT_ONCE):
                before = written
                for row in journal_rows(db, first, min(last, first + AT_ONCE - 1)):
                    if row.kind != ENTRY_FRAME or row.node is None or row.boot is None:
                        continue
                    line = {
                        "node": row.node.hex(),
                        "boot": row.boot.hex(),
                        "seq": row.seq,
                        "received_ms": row.made_ms,
                    }
                    if row.data is None:
                        line["gone"] = CAUSES.get(row.gone or 0, "unknown")
                    else:
                        line["plaintext"] = row.data.hex()
                    file.write(json.dumps(line) + "\n")
                    written += 1
                shown(written - before)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        fsync_folder(path.parent)
    finally:
        new.unlink(missing_ok=True)
    return written
