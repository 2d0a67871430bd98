"""What commands about people share: names for people, times, and asking the agent that runs, or one that runs
for that alone.
"""

import json
import os
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from string import hexdigits
from typing import Any, cast

from edge_agent import tasks
from edge_agent.cli.commanding import fail
from edge_agent.config import Config
from edge_agent.files import write_atomically
from edge_agent.people.operators import Operators
from edge_agent.people.state import PeopleError, PeopleState

WAIT_S = 60.0
# The agent's own time to answer, after the errand's is over.
LATE_S = 10.0
MIN_DIGITS = 4
MIN_NAME = 2
MAX_ALIAS = 80
EXAMPLE = "2026-11-22T08:00:00+01:00"


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def moment(text: str) -> int:
    """Unix ms of an ISO 8601 time; one without a zone is of this machine's. PeopleError."""
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise PeopleError(f"{text!r} is no ISO 8601 time", f"as in {EXAMPLE}, or 2026-11-22") from None


def period(begin: str | None, end: str | None, now: int) -> tuple[int, int | None]:
    """Unix ms of what `--from` (by default `now`) and `--to` (None: further notice) say. PeopleError."""
    since = now if begin is None else moment(begin)
    until = None if end is None else moment(end)
    if until is not None and until < since:
        what = f"it would end ({shown_time(until)}) before it begins ({shown_time(since)})"
        raise PeopleError(what, "give a later --to")
    return since, until


def shown_time(unix_ms: int | None) -> str:
    """The same the other way round, in UTC."""
    if unix_ms is None:
        return "until further notice"
    try:
        return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"


class Aliases:
    """What people here call each person: for this machine's terminal, and nowhere else. `people.json`, mode
    0600, is in no store, chain, log or export; an empty name is a person who was made and has none.
    """

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "people.json"

    def all(self) -> dict[bytes, str]:
        """Person → name. PeopleError: the file is damaged."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return {bytes.fromhex(key): str(name) for key, name in cast("dict[str, Any]", found).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, RecursionError) as e:
            hint = "restore it, or move it away: only names are in it"
            raise PeopleError(f"{self.path}: damaged: {e}", hint) from None

    def keep(self, person: bytes, name: str) -> None:
        """Call that person so from now on."""
        known = self.all()
        if len(name) > MAX_ALIAS or not name.isprintable():
            raise PeopleError("that name cannot be printed, or is too long", f"{MAX_ALIAS} characters")
        if _is_digits(name):
            hint = 'add something that is none, as in "Abba, room 3"'
            raise PeopleError(f"{name!r} could be the first digits of a pseudonym or a node's id", hint)
        if name and any(other == name for who, other in known.items() if who != person):
            raise PeopleError(f"somebody is called {name!r} already", "choose another name")
        self._write(known | {person: name})

    def forget(self, person: bytes) -> None:
        """Take the person's line out."""
        known = self.all()
        if known.pop(person, None) is not None:
            self._write(known)

    def _write(self, known: dict[bytes, str]) -> None:
        lines = {person.hex(): name for person, name in sorted(known.items())}
        write_atomically(self.path, json.dumps(lines, indent=1, ensure_ascii=False).encode() + b"\n")


class Book:
    """What a command knows of people: the records in the store, read beside a running agent, and the names.
    StoreError, KeyFileError, PeopleError.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.aliases = Aliases(config.state_dir)
        self.operators = Operators(config.operators)
        self.state = PeopleState(config.people.consent)
        self.unbelieved: list[str] = []
        if config.store.exists():
            from edge_agent.people.records import load
            from edge_agent.store.database import open_reader

            with closing(open_reader(config)) as db:
                self.state, self.unbelieved = load(db, self.operators, config.people.consent)
        from edge_agent.nodes.peers import Peers
        from edge_agent.people import lost

        self.state.lost = lost.find(Peers(config.peers), self.state)

    def known(self) -> list[bytes]:
        """Everybody that a record or a name is about."""
        return sorted({*self.state.persons(), *self.aliases.all()})

    def person(self, given: str) -> bytes:
        """The person who is called so, or whose pseudonym begins so. PeopleError."""
        named = self._called(given)
        digits = given.lower()
        found = [one for one in self.known() if _is_digits(digits) and one.hex().startswith(digits)]
        if named and set(found) - set(named):
            problem = f"{given!r} is what one person is called, and how the pseudonym of another begins"
            raise PeopleError(problem, "give more of the 32 digits of the one who is meant")
        if len(named) > 1:
            raise PeopleError(f"{len(named)} persons are called like {given!r}", "give the whole name")
        if named:
            return named[0]
        if not _is_digits(digits):
            raise PeopleError(f"nobody is called {given!r}", "vitalwire person list shows everybody")
        if len(found) == 1:
            return found[0]
        if not found and len(digits) == 32:
            return bytes.fromhex(digits)
        if not found:
            raise PeopleError(f"no person begins with {given}", "vitalwire person list shows everybody")
        raise PeopleError(f"{len(found)} persons begin with {given}", "give more of the 32 digits")

    def _called(self, given: str) -> list[bytes]:
        """The one who is called so; else all who are, whatever the case, or whose name begins so."""
        names = {person: name for person, name in self.aliases.all().items() if name}
        alike = given.casefold()
        exact = [person for person, name in names.items() if name == given]
        folded = [person for person, name in names.items() if name.casefold() == alike]
        begins = [person for person, name in names.items() if name.casefold().startswith(alike)]
        return exact or folded or (begins if len(given) >= MIN_NAME else [])

    def node(self, given: str) -> bytes:
        """The node whose id begins so: a paired one, or one that was somebody's. PeopleError."""
        from edge_agent.nodes.peers import Peers
        from edge_agent.standard.devices import Devices

        digits = given.lower()
        if not MIN_DIGITS <= len(digits) <= 16 or set(digits) - set(hexdigits):
            raise PeopleError(f"{given} is no node id", "16 hex digits, or the first of them (4 at least)")
        devices = Devices(self.config.state_dir).ids()
        nodes = {*Peers(self.config.peers).ids(), *devices, *(span.node for span in self.state.spans())}
        found = [node for node in nodes if node.hex().startswith(digits)]
        if len(found) != 1:
            hint = (
                "vitalwire keys show lists those that are paired" if not found else "give more of its digits"
            )
            raise PeopleError(f"{len(found) or 'no'} nodes begin with {given}", hint)
        return found[0]

    def called(self, person: bytes | None) -> str:
        """The pseudonym, and the name here if there is one."""
        if person is None:
            return "nobody"
        name = self.aliases.all().get(person)
        return f"{person.hex()} ({name})" if name else person.hex()


def _is_digits(given: str) -> bool:
    """Whether it is read as a pseudonym, or as how one begins."""
    return MIN_DIGITS <= len(given) <= 32 and not set(given) - set(hexdigits)


def ask(config: Config, what: str, told: dict[str, Any], wait_s: float = WAIT_S) -> str:
    """Have the agent do it; what it says. Ends the command where it refuses, or does not answer."""
    from edge_agent.cli.nodes import answer_of
    from edge_agent.nodes.errands import Errands
    from protocol import cbor

    uid = os.getuid() if hasattr(os, "getuid") else 0
    errands = Errands(config.errands)
    errand = errands.put(what, b"", now_ms() + int(wait_s * 1000), data=cbor.dumps({**told, "uid": uid}))
    try:
        answer = tasks.run(answer_of(config, errands, errand, wait_s + LATE_S, quiet=True))
    finally:
        errands.take_back(errand)
    if answer is None:
        fail(f"the agent did not answer within {wait_s + LATE_S:g} s: see its log, or vitalwire status")
    if not answer["good"]:
        fail(answer["text"])
    return str(answer["text"])


def record_action(config: Config, what: str, on: bytes | str, **more: bytes | str | int) -> None:
    """Have an action of this user signed for in the chain, before it is done. Ends the command where it
    cannot be.
    """
    from edge_agent.nodes.errands import ACTION

    ask(config, ACTION, {"what": what, "on": on, **more})
