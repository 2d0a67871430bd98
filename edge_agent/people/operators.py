"""Operators: whose signatures on records of people this agent believes, a public key file each.

`operators/NAME.pub` is believed; `operators/former/NAME.pub` was, and what it signed and was taken then
stands. A secret key may lie beside its public one (`NAME.key`), where one machine is all there is.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from edge_agent.files import fsync_folder, make_folder
from edge_agent.keys import KeyFileError, PublicKeys, create, load, load_public, write_public
from edge_agent.people.state import PeopleError
from protocol.identity import Identity

FORMER = "former"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# More are nobody's staff, and each is a signature check away from a mistake.
MAX_OPERATORS = 256


class Operator(NamedTuple):
    """One of them: the file's name without its ending, and the public keys in it."""

    name: str
    keys: PublicKeys
    secret_here: bool


class Operators:
    """The folder of operators. OSError as it comes. A file that holds no keys is nobody's word, and
    `problems` names it, as of the last look.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def all(self) -> list[Operator]:
        """Those that are believed, by name."""
        self.problems.clear()
        return self._in(self.folder)

    def former(self) -> list[Operator]:
        """Those that were."""
        return self._in(self.folder / FORMER)

    def key_of(self, operator: bytes, past: bool = False) -> bytes | None:
        """The Ed25519 key of the operator with that id. `past`: former ones as well."""
        for one in [*self.all(), *(self.former() if past else ())]:
            if one.keys.id == operator:
                return one.keys.ed_pub
        return None

    def add(self, name: str, keys: PublicKeys) -> Operator:
        """Believe `keys` from now on, under a name that no other has."""
        for one in self.all():
            if one.keys.id == keys.id:
                raise PeopleError(f"that key is operator {one.name} already", "nothing has to be done")
        path = self.free(name)
        write_public(path, "operator", keys)
        return Operator(name, keys, False)

    def new(self, name: str) -> tuple[Operator, Path]:
        """Make an operator's keys here; the operator and the secret's path."""
        path = self.free(name).with_suffix(".key")
        identity = create(path, "operator")
        return Operator(name, PublicKeys(*identity.public()), True), path

    def remove(self, name: str) -> Operator:
        """Believe it no more; what it signed and was taken stands. A secret that lies here is removed."""
        found = next((one for one in self.all() if one.name == name), None)
        if found is None:
            raise PeopleError(f"there is no operator {name}", "vitalwire operator list shows them")
        make_folder(self.folder / FORMER)
        kept = self.folder / FORMER / f"{name}-{found.keys.id.hex()}.pub"
        os.replace(self.folder / f"{name}.pub", kept)
        (self.folder / f"{name}.key").unlink(missing_ok=True)
        fsync_folder(self.folder / FORMER)
        fsync_folder(self.folder)
        return found

    def signer(self, given: Path | None) -> Identity:
        """Who signs on this machine: the secret key at `given`, else the one that lies beside its public key
        here. It must be an operator's.
        """
        if given is None:
            here = [one.name for one in self.all() if one.secret_here]
            if len(here) != 1:
                raise PeopleError(
                    f"{len(here) or 'no'} operators' secret keys lie in {self.folder}",
                    "say whose: --by NAME.key" if here else "vitalwire operator new NAME makes one, or --by",
                )
            given = self.folder / f"{here[0]}.key"
        identity = load(given)
        if self.key_of(identity.id) is None:
            raise PeopleError(
                f"{given}: operator {identity.id.hex()} is not believed by this agent",
                f"vitalwire operator add NAME {given.with_suffix('.pub')}",
            )
        return identity

    def free(self, name: str) -> Path:
        """Where the operator of that name would be kept. PeopleError: it is no name, or is taken."""
        if _NAME.fullmatch(name) is None or name == FORMER:
            raise PeopleError(f"{name!r} is no name for a file", "letters, digits, - _ and . in the middle")
        path = self.folder / f"{name}.pub"
        if path.exists():
            raise PeopleError(f"there is an operator {name}", "choose another name, or remove that one first")
        if len(self.all()) >= MAX_OPERATORS:
            raise PeopleError(f"there are {MAX_OPERATORS} operators", "remove those that have left")
        return path

    def _in(self, folder: Path) -> list[Operator]:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".pub"))
        except FileNotFoundError:
            return []
        found: list[Operator] = []
        for name in names:
            path = folder / name
            try:
                keys = load_public(path, "operator")
            except KeyFileError as e:
                self.problems.append(str(e))
                continue
            found.append(Operator(path.stem, keys, path.with_suffix(".key").exists()))
        return found
