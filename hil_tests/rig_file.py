"""A rig, described in a TOML file: which board, which patient, how long things may take; of a bench also
where its board is, and its hands.
"""

import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hil_tests.hands import ASKED, PAIRS

RIGS = Path(__file__).resolve().parent / "rigs"
BOARDS = Path(__file__).resolve().parents[1] / "boards"


# In the order of RigFile's fields.
KEYS = {
    "name": str,
    "board": str,
    "patient.hr_bpm": (int, float),
    "patient.spo2_pct": (int, float),
    "node.boot_s": (int, float),
}
# Of a bench; what is absent is not there, and the tests that want it are skipped.
BENCH_KEYS = ("bench.port", "bench.image", "wifi.ssid", "wifi.password", "wifi.listen", "ble.adapter")
HANDS = "hands."


class BadRig(Exception):
    """There is no such rig, or its description lacks something; the text says what."""


@dataclass(frozen=True)
class RigFile:
    """`board`: a folder of boards/; `hr_bpm`, `spo2_pct`: the model; `boot_s`: power to hello, at most.

    Of a bench, "" where it is not there: `port`: the board's; `image`: the MicroPython that it is flashed
    with; `ssid`, `password`: of the network around it; `listen`: this machine's address in that; `adapter`:
    this machine's Bluetooth adapter. `hands`: the argv of each hand that has a command.
    """

    name: str
    board: str
    hr_bpm: float
    spo2_pct: float
    boot_s: float
    port: str = ""
    image: str = ""
    ssid: str = ""
    password: str = field(default="", repr=False)
    listen: str = ""
    adapter: str = ""
    hands: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {})

    @property
    def virtual(self) -> bool:
        """Whether the rig needs no hardware."""
        return self.board == "virtual" and not self.port

    def has(self, table: str) -> bool:
        """Whether the board's description has that table, such as `spool`."""
        return table in tomllib.loads((BOARDS / self.board / "board.toml").read_text("utf-8"))


def load(name_or_path: str) -> RigFile:
    """The rig of that name in hil_tests/rigs, or of that file. BadRig says which file and key, and what there
    is.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = RIGS / f"{name_or_path}.toml"
    try:
        given = dict(_flat(tomllib.loads(path.read_text("utf-8"))))
    except OSError as e:
        there = ", ".join(sorted(rig.stem for rig in RIGS.glob("*.toml")))
        raise BadRig(f"no rig {path}: {e.strerror}; there are: {there}") from e
    except ValueError as e:
        raise BadRig(f"{path}: {e}") from e
    found: list[Any] = []
    for key, kind in KEYS.items():
        value = given.pop(key, None)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise BadRig(f"{path}: {key} has to be {'a text' if kind is str else 'a number'}, not {value!r}")
        found.append(value)
    for key in BENCH_KEYS:
        value = given.pop(key, "")
        if not isinstance(value, str):
            raise BadRig(f"{path}: {key} has to be a text, not {value!r}")
        found.append(value)
    hands = {name: _argv(path, name, given.pop(HANDS + name)) for name in ASKED if HANDS + name in given}
    for done, undone in PAIRS.values():
        if (done in hands) != (undone in hands):
            raise BadRig(f"{path}: {HANDS}{done} and {HANDS}{undone} have to be there both, or neither")
    for key in given:
        known = [*KEYS, *BENCH_KEYS, *(HANDS + name for name in ASKED)]
        nearest = get_close_matches(key, known, 1)
        raise BadRig(f"{path}: there is no key {key}{f'; is it {nearest[0]}?' if nearest else ''}")
    return RigFile(*found, hands=hands)


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _argv(path: Path, name: str, value: Any) -> tuple[str, ...]:
    """A command as a shell splits it; no shell runs it."""
    try:
        argv = tuple(shlex.split(value)) if isinstance(value, str) else ()
    except ValueError:
        argv = ()
    if not argv:
        raise BadRig(f"{path}: {HANDS}{name} has to be a command, as a text, not {value!r}")
    return argv


def data_dir() -> Path | None:
    """Where recordings are: $VITALWIRE_DATA, else ../shared/data; None when neither is there."""
    given = os.environ.get("VITALWIRE_DATA")
    path = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    return path if path.is_dir() else None
