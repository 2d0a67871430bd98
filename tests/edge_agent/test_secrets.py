"""Private keys, of the agent and of its node, are in their own files and nowhere else: in no log, status,
statement, export or copy of the store, however they would be written down.
"""

import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_agent import keys
from edge_agent.nodes.errands import UNPAIR, Errands
from edge_agent.store.database import open_file
from protocol.identity import Identity
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_claims import answered, label_of, live
from tests.edge_agent.test_cli import typed, written

# Where they belong.
OWN = {"agent.key", "other.key"}


def written_down(secret: bytes) -> Iterator[bytes]:
    """The ways in which a secret may stand in something: a hex dump's groups are put together first."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield repr(secret)[2:-1].encode()
    yield ", ".join(map(str, secret)).encode()
    for encode in (b64encode, urlsafe_b64encode):
        for shift in range(3):
            # What stands before it moves it; of both ends, the digits that others share are left out.
            yield encode(bytes(shift) + secret)[4 if shift else 0 : -4]


def found_in(data: bytes, secrets: list[bytes]) -> bool:
    together = data.replace(b" ", b"").replace(b"\n", b"")
    return any(form in data or form in together for secret in secrets for form in written_down(secret))


def secrets_of(*parties: Identity) -> list[bytes]:
    return [secret for party in parties for secret in (party.ed_seed, party.x_sk)]


def test_a_secret_is_found_however_it_is_written():
    secret = bytes(range(7, 39))
    for form in (
        secret,
        b"x" + b64encode(b"salt" + secret + b"more"),
        b64encode(b"s" + secret),
        urlsafe_b64encode(secret),
        secret.hex(" ").encode(),
        repr(secret).encode(),
        str(list(secret)).encode(),
        secret.hex("\n", 2).upper().encode(),
    ):
        assert found_in(b"before " + form + b" after", [secret]), form
    assert not found_in(bytes(range(8, 40)), [secret])


def test_private_keys_are_nowhere_but_in_their_own_files(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    (tmp_path / "agent").mkdir()
    kit = Kit(tmp_path / "agent")
    other = keys.create(kit.folder / "other.key", "agent")
    said = ""
    with FakeNode(Pty(), rate=10) as node:
        secrets = secrets_of(kit.identity, node.identity, other) + [node.boot.K]
        config = written(kit, node.pipe.name)
        name = node.identity.id.hex()

        def run(*words: str) -> str:
            command, *rest = words
            first = [rest.pop(0)] if command in ("pair", "store", "keys", "config") and rest else []
            return typed(command, *first, "--config", config, *rest).output

        with Running(kit.config(node.pipe.name)) as running:
            wait_until(lambda: kit.status["unpaired"], "it is heard")
            said += run("pair", "list") + run("pair", "list", "--json")
            node.pressed = True
            answer = answered(running.agent.config, label_of(node))
            assert answer["good"], answer
            wait_until(lambda: live(kit, node), "live")
            wait_until(lambda: kit.totals()["pending"] > 20, "frames")
            said += run("identify", name) + run("move", name, "--to", str(kit.folder / "other.pub"))
            said += run("status") + run("status", "--json") + run("doctor") + run("keys", "show")
            said += run("store", "export", str(tmp_path / "copy.db"))
            errands = Errands(running.agent.config.errands)
            errand = errands.put(UNPAIR, node.identity.id, 1 << 42)
            wait_until(lambda: errands.answer_to(errand), "un-paired")
        said += run("ledger", "--json") + run("audit") + run("audit", "--json") + run("verify")
        said += run("config", "show") + repr(kit.identity) + repr(running.agent.config)
        wire = b"".join(node.sent)
    for word in ("answers: done", "goes to agent", "node_unpaired", "unpaired  ", '"balanced"', "copy.db"):
        assert word in said, word
    assert not found_in(said.encode(), secrets) and not found_in(caplog.text.encode(), secrets)
    assert not found_in(wire, secrets)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in OWN]
    assert {"agent.db", "peers.json", "status.json", "copy.db"} <= {path.name for path in files}
    for path in files:
        assert not found_in(path.read_bytes(), secrets), path
    # Nor behind the store's own key, in what goes to forwarders and into backups.
    assert not found_in(dumped(kit.folder / "agent.db"), secrets)


def dumped(path: Path) -> bytes:
    """All values of all tables of a store, opened with its key."""
    with closing(open_file(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        values = [value for name in names for row in db.execute(f"SELECT * FROM {name}") for value in row]
    assert len(values) > 100
    return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
