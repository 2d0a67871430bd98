"""A rig, described in a TOML file: which board, which patient, how long things may take."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RIGS = Path(__file__).resolve().parent / "rigs"


# In the order of RigFile's fields.
KEYS = {
    "name": str,
    "board": str,
    "patient.hr_bpm": (int, float),
    "patient.spo2_pct": (int, float),
    "node.boot_s": (int, float),
}


class BadRig(Exception):
    """There is no such rig, or its description lacks something; the text says what."""


@dataclass(frozen=True)
class RigFile:
    """`board`: a folder of boards/; `hr_bpm`, `spo2_pct`: the model; `boot_s`: power to hello, at most."""

    name: str
    board: str
    hr_bpm: float
    spo2_pct: float
    boot_s: float

    @property
    def virtual(self) -> bool:
        """Whether the rig needs no hardware."""
        return self.board == "virtual"


def load(name_or_path: str) -> RigFile:
    """The rig of that name in hil_tests/rigs, or of that file. BadRig says which file and key, and what there
    is.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = RIGS / f"{name_or_path}.toml"
    try:
        text = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        there = ", ".join(sorted(rig.stem for rig in RIGS.glob("*.toml")))
        raise BadRig(f"no rig {path}: {e.strerror}; there are: {there}") from e
    except ValueError as e:
        raise BadRig(f"{path}: {e}") from e
    found: list[Any] = []
    for key, kind in KEYS.items():
        value: Any = text
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadRig(f"{path}: {key} has to be {'a text' if kind is str else 'a number'}, not {value!r}")
        found.append(value)
    return RigFile(*found)


def data_dir() -> Path | None:
    """Where recordings are: $VITALWIRE_DATA, else ../shared/data; None when neither is there."""
    given = os.environ.get("VITALWIRE_DATA")
    path = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    return path if path.is_dir() else None
