"""A rig, described in a TOML file: which board, which patient, how long things may take."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

RIGS = Path(__file__).resolve().parent / "rigs"


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
    """The rig of that name in hil_tests/rigs, or of that file. KeyError and OSError name what is missing."""
    path = Path(name_or_path)
    if not path.suffix:
        path = RIGS / f"{name_or_path}.toml"
    with open(path, "rb") as file:
        text = tomllib.load(file)
    patient, node = text["patient"], text["node"]
    return RigFile(text["name"], text["board"], patient["hr_bpm"], patient["spo2_pct"], node["boot_s"])


def data_dir() -> Path | None:
    """Where recordings are: $VITALWIRE_DATA, else ../shared/data; None when neither is there."""
    given = os.environ.get("VITALWIRE_DATA")
    path = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    return path if path.is_dir() else None
