"""The doctor's checks of people's data: frames that nobody can date, what erasures have left elsewhere."""

from contextlib import closing

from edge_agent.config import Config
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.ops.doctor import Check, Found, Patient, good, warn
from edge_agent.people import lost
from edge_agent.people.dates import Clocks
from edge_agent.people.left_over import MAY, LeftOver, find, set_aside
from edge_agent.people.operators import Operators
from edge_agent.people.records import load
from edge_agent.readable import counted, is_are
from edge_agent.store import database
from edge_agent.store.errors import StoreError
from edge_agent.store.keys import source_of


def dates(patient: Patient) -> Found:
    """Whether clock fits of nodes that were somebody's contradict each other: whose those frames are, nobody
    can say near a change of hands.
    """
    config = patient.config
    if not config.store.exists():
        return
    boots = 0
    try:
        with closing(database.open_reader(config)) as db:
            state, _ = load(db, Operators(config.operators), config.people.consent)
            clocks = Clocks(db)
            for node in sorted({span.node for span in state.spans()}):
                for boot, name in db.execute("SELECT id, boot FROM boots WHERE node = ?", (node,)).fetchall():
                    clock = clocks.of(boot)
                    boots += bool(clock)
                    if clock.regimes > 1:
                        counter = int.from_bytes(name[:4], "big")
                        yield warn(
                            f"node {node.hex()}, boot {counter}: this machine's clock was set by "
                            f"{clock.apart_us / 1e6:.1f} s meanwhile: frames that may so be of two persons "
                            "are in neither's record, and are held back unless both agreed",
                            "keep the clock synchronised (timedatectl set-ntp true)",
                        )
    except (StoreError, database.Error):
        # The store's own check says why.
        return
    if boots:
        boots_of = counted(boots, "boot")
        yield good(f"{boots_of} of nodes that were somebody's {is_are(boots)} dated by clock fits")


def erased(patient: Patient) -> Found:
    """Whether somebody who was erased can still be read in another file beside the store."""
    config = patient.config
    if not config.store.exists():
        return
    try:
        with closing(database.open_reader(config)) as db:
            state, _ = load(db, Operators(config.operators), config.people.consent)
        gone = [person for person in state.persons() if state.erased_at(person) is not None]
        left: dict[LeftOver, list[bytes]] = {}
        for person in gone:
            for one in find(config, state, person):
                left.setdefault(one, []).append(person)
    except (StoreError, database.Error):
        # The store's own check says why.
        return
    for one, persons in left.items():
        yield warn(f"{_whose(persons)} erased: {one.path}: {one.why}", _remedy(one, persons[0], config))
    aside = set_aside(config.store)
    if gone and not left:
        yield good(f"of {_whose(gone)} erased, nothing is in other files that are known here")
    elif aside and not gone:
        stores = counted(len(aside), "damaged store")
        yield good(f"{stores} {is_are(len(aside))} set aside; nobody was erased since")


def _whose(persons: list[bytes]) -> str:
    if len(persons) == 1:
        return f"person {persons[0].hex()}, who was"
    return f"{counted(len(persons), 'person')} who were"


def _remedy(one: LeftOver, person: bytes, config: Config) -> str:
    """What to do about a file; `person`: one of those who are in it."""
    if one.kept:
        return "destroy it by hand, if it is what it was"
    if not one.there:
        return f"destroy it where it is; then vitalwire erase {person.hex()} --copies notes that it is gone"
    does = f"vitalwire erase {person.hex()} {'--copies' if one.copy else '--set-aside'} destroys that file"
    if one.why != MAY:
        return does
    key = source_of(config).key_file
    old = key.with_name(f"{key.stem}.old-<n>{key.suffix}")
    return f"with the key that it is under in {old} it can be looked into; {does}"


def whose(patient: Patient) -> Found:
    """Whether the store has the records of whose the nodes are that were ever somebody's."""
    config = patient.config
    if not config.store.exists():
        return
    try:
        with closing(database.open_reader(config)) as db:
            state, _ = load(db, Operators(config.operators), config.people.consent)
        for node in lost.find(Peers(config.peers), state):
            yield warn(lost.problem(node), lost.remedy(node))
    except (StoreError, database.Error, PeersError):
        # The store's own check, or that of the pairings, says why.
        return


CHECKS: dict[str, Check] = {"whose": whose, "dates": dates, "erased": erased}
