"""A factory's kit file: what is taken of it, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.nodes.kit import Expected, KitError, KitNode, compare, read
from edge_agent.nodes.peers import Peers
from tests.edge_agent.fakes import identity
from tests.edge_agent.running import Kit
from tests.edge_agent.test_cli import typed, written

KEYS = [PublicKeys(*identity(n).public()) for n in range(1, 6)]


def entry(keys: PublicKeys, **more: Any) -> dict[str, Any]:
    told = {"board": "esp32_s3_kit", "firmware": "0.6.0", "flashed_at": "2026-11-23T10:00:00Z"}
    named = {"id": keys.id.hex(), "ed25519": keys.ed_pub.hex(), "x25519": keys.x_pub.hex()}
    return named | told | more


def file(folder: Path, *entries: Any, **more: Any) -> Path:
    path = folder / "kit.json"
    path.write_text(json.dumps({"version": 1, "nodes": list(entries), **more}))
    return path


@pytest.fixture
def kit(tmp_path) -> Kit:
    (tmp_path / "agent").mkdir()
    return Kit(tmp_path / "agent")


def test_an_import_says_what_is_new_and_what_is_known_and_is_in_the_log(kit, tmp_path):
    config = written(kit)
    Peers(kit.folder / "peers.json").add(KEYS[0])
    first = typed("kit", "import", "--config", config, str(file(tmp_path, entry(KEYS[0]), entry(KEYS[1]))))
    assert first.exit_code == 0 and "1 node more expected" in first.output, first.output
    assert f"paired    {KEYS[0].id.hex()}" in first.output and f"new       {KEYS[1].id.hex()}" in first.output
    both = file(tmp_path, entry(KEYS[1]), entry(KEYS[2]))
    again = typed("kit", "import", "--config", config, str(both))
    assert f"expected  {KEYS[1].id.hex()}  esp32_s3_kit 0.6.0" in again.output
    assert "nothing new" in typed("kit", "import", "--config", config, str(both)).output
    assert list(Expected(kit.folder / "expected.json").all()) == sorted(keys.id for keys in KEYS[1:3])
    shown = typed("pair", "list", "--config", config).output
    assert f"expected  {KEYS[2].id.hex()}  esp32_s3_kit, 0.6.0, 2026-11-23T10:00:00Z" in shown
    log = typed("audit", "--config", config).output
    assert log.count("kit import") == 2 and "nodes=1" in log, log
    gone = typed("kit", "forget", "--config", config, KEYS[2].id.hex()[:6])
    assert gone.exit_code == 0 and list(Expected(kit.folder / "expected.json").all()) == [KEYS[1].id]
    assert typed("kit", "forget", "--config", config, "00").exit_code == 1


def test_one_contradiction_and_nothing_is_taken(kit, tmp_path):
    peers = Peers(kit.folder / "peers.json")
    peers.add(KEYS[0])
    peers.add(KEYS[4])
    peers.part(KEYS[4].id, None, wipe=True)
    peers.remove(KEYS[4].id)
    mixed = PublicKeys(KEYS[0].ed_pub, KEYS[3].x_pub)
    small = PublicKeys(KEYS[3].ed_pub, bytes(32))
    for wrong, said in (
        ([entry(KEYS[1]), entry(KEYS[1])], "is listed twice"),
        ([entry(mixed)], f"has a key of node {KEYS[0].id.hex()}"),
        ([entry(small)], "of small order"),
        ([entry(KEYS[4])], "was wiped as lost"),
    ):
        path = file(tmp_path, entry(KEYS[2]), *wrong)
        done = typed("kit", "import", "--config", written(kit), str(path))
        assert done.exit_code == 1 and said in done.output, done.output
        assert "1 contradiction: nothing was taken" in done.output
        assert not (kit.folder / "expected.json").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no version and nodes"),
        ("[1]", "no version and nodes"),
        ('{"version": 2, "nodes": []}', "of version 2"),
        ('{"version": 1, "nodes": {}}', "no list"),
        (json.dumps({"version": 1, "nodes": [entry(KEYS[0]), 7]}), "node 2 of it has no id"),
        (json.dumps({"version": 1, "nodes": [entry(KEYS[0], ed25519="zz")]}), "node 1 of it has no id"),
        (json.dumps({"version": 1, "nodes": [entry(KEYS[0], ed25519="00")]}), "not 32 bytes"),
        (json.dumps({"version": 1, "nodes": [entry(KEYS[0], id=KEYS[1].id.hex())]}), "and its keys are"),
    ],
)
def test_what_is_no_kit_file(tmp_path, content, said):
    path = tmp_path / "kit.json"
    path.write_text(content)
    with pytest.raises(KitError, match=said):
        read(path)


def test_expected_nodes_outlive_the_process_and_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "expected.json"
    expected = Expected(path)
    expected.add([KitNode(KEYS[0], "a\x1bboard"), KitNode(KEYS[1])])
    other = Expected(path)
    assert other.all()[KEYS[0].id].board == "aboard"
    assert other.remove(KEYS[0].id) and not other.remove(KEYS[0].id)
    assert list(expected.all()) == [KEYS[1].id], "another's change counts"
    found = compare([KitNode(KEYS[1]), KitNode(KEYS[2])], expected, Peers(tmp_path / "peers.json"))
    assert ([len(found.new), len(found.expected)], found.wrong) == ([1, 1], [])
    path.write_text("{")
    with pytest.raises(KitError, match="import the kit again"):
        expected.all()
