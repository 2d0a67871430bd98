"""How a person names a node or an agent to the collector's commands: its id, or how it begins."""

import pytest
from click.testing import CliRunner

from edge_agent import keys
from edge_agent.keys import PublicKeys
from protocol import batch, frames
from tests.tools.collector_rig import AGENT, BOOT, NODE, NOW, Chain
from tools.collector import order_command as ordering
from tools.collector import query
from tools.collector.commands import command

PREFIX = "abcd"
# Two whose ids begin alike, and the ends of what such an id can be.
ALIKE = [bytes.fromhex(f"{PREFIX}{rest}") for rest in ("000000000000", "00ff00000001", "ffffffffffff")]


def wave(node: bytes, seq: int) -> bytes:
    body = {
        frames.WAVE_CHANNEL: 0,
        frames.WAVE_PERIOD_NS: 2_000_000,
        frames.WAVE_LSB: 1,
        frames.WAVE_CODEC: 200,
        frames.WAVE_COUNT: 1,
        frames.WAVE_DATA: b"\0",
    }
    return batch.frame_entry(node, BOOT, seq, frames.pack(frames.KIND_WAVE, seq, body), NOW)


@pytest.fixture
def filled(rig):
    rig.receipt(Chain().make([wave(node, seq) for node in (NODE.id, *ALIKE) for seq in range(3)]))
    return rig


def typed(rig, *words: str):
    store = ["--database", str(rig.place)] if isinstance(rig.place, str) else []
    done = CliRunner().invoke(command, [words[0], "--state", str(rig.folder), *store, *words[1:]])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.output.replace("\u2502", " ").split())


def test_the_nodes_whose_ids_begin_so(filled):
    assert query.nodes_like(filled.store, PREFIX, 9) == ALIKE
    assert query.nodes_like(filled.store, PREFIX, 2) == ALIKE[:2]
    assert query.nodes_like(filled.store, PREFIX + "f", 9) == ALIKE[2:]
    assert query.nodes_like(filled.store, ALIKE[0].hex(), 9) == ALIKE[:1]
    assert query.nodes_like(filled.store, "", 9) == query.nodes(filled.store) == sorted([NODE.id, *ALIKE])


def test_a_node_is_named_by_its_first_digits(filled):
    for given in (NODE.id.hex()[:4], NODE.id.hex()[:5].upper(), NODE.id.hex()):
        code, told = typed(filled, "samples", "--node", given)
        assert (code, told.count('"codec":200')) == (0, 3), told
    code, told = typed(filled, "completeness", "--node", NODE.id.hex()[:4])
    assert code == 0 and NODE.id.hex() in told and ALIKE[0].hex() not in told


@pytest.mark.parametrize("words", [["samples"], ["completeness"], ["export", "--format", "csv", "OUT"]])
def test_who_may_be_meant_is_listed(filled, tmp_path, words):
    words = [str(tmp_path / "out") if word == "OUT" else word for word in words]
    code, told = typed(filled, *words, "--node", PREFIX)
    assert code == 2 and "several nodes begin with abcd" in told
    assert all(node.hex() in told for node in ALIKE) and NODE.id.hex() not in told
    code, told = typed(filled, *words, "--node", "0000")
    assert code == 2 and "no node whose id begins with 0000 has frames here" in told
    assert NODE.id.hex() in told
    code, told = typed(filled, *words, "--node", "xyz")
    assert code == 2 and "16 hex digits, or the first of them (4 at least)" in told


def order(tmp_path, agent: str, node: str, monkeypatch) -> tuple[int, str]:
    """The command, without a broker."""

    def said(_broker, far, about, _valid_s, _tell):
        raise OSError(f"to {far.hex()} about {about.command.node_id.hex()}")

    monkeypatch.setattr(ordering, "order", said)
    if not (tmp_path / "clinic.key").exists():
        keys.create(tmp_path / "clinic.key", "authority")
    words = ["order", "--state", str(tmp_path), "--agent", agent, "--node", node, "identify"]
    done = CliRunner().invoke(command, [*words, "--authority", str(tmp_path / "clinic.key")])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize("place", [None])
def test_an_order_names_its_node_by_what_the_store_knows(filled, monkeypatch):
    where, agent = filled.folder, AGENT.id.hex()[:4]
    meant = f"to {AGENT.id.hex()} about {NODE.id.hex()}"
    assert meant in order(where, agent, NODE.id.hex()[:4], monkeypatch)[1]
    assert "several nodes" in order(where, agent, PREFIX, monkeypatch)[1]
    filled.store.close()
    (where / "collector.sqlite3").unlink()
    assert "all 16 digits, please" in order(where, agent, NODE.id.hex()[:4], monkeypatch)[1]
    assert meant in order(where, agent, NODE.id.hex(), monkeypatch)[1]


def test_agents_that_may_be_meant_are_listed(tmp_path, monkeypatch):
    class Both:
        """Ids that begin alike are not found in a moment."""

        def __init__(self, _folder):
            self.ids = lambda: ALIKE
            self.lookup = lambda _id: PublicKeys(*AGENT.public())

    monkeypatch.setattr(ordering, "Trust", Both)
    code, told = order(tmp_path, PREFIX, NODE.id.hex(), monkeypatch)
    assert code == 1 and f"the ids of 3 agents begin with {PREFIX}: {ALIKE[0].hex()}, " in told
    code, told = order(tmp_path, "beef", NODE.id.hex(), monkeypatch)
    assert code == 1 and "4 of its first digits at least" in told
