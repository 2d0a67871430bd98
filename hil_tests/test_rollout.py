"""A roll-out through the whole stack to a node on the real VM: a good version, over a killed agent and a
node's power cut, and one that cannot be started.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil_tests.nodes import Node
from hil_tests.rig_file import RigFile
from hil_tests.stack import ROOT, Stack
from protocol import crypto
from protocol.bundle import make, sign
from protocol.identity import Identity, generate_steps

OLD, NEW, BAD = b"0.1.0", b"0.2.0", b"0.3.0"
# The node's world runs faster: its trial takes 5 s of it, beside what the agent sends at its own pace.
SPEED = 2
SETTINGS = "'slots': 2, 'steady_s': 5, 'trial_s': 120"
SHARE = 0.5

BUILD = """
import sys
from pathlib import Path
from tools import build
board, maker, out, settings, format = sys.argv[1:]
made = build.make(board, format, makers=[maker], only=("ecg",))
config = "slot_a/board_config.py"
made.files[config] = made.files[config].replace(b"'slots': 2", settings.encode())
del made.files[build.MANIFEST]
made.files[build.MANIFEST] = build.manifest(made)
build.write(made, Path(out))
"""


class Maker:
    """Who signs versions: the tree of OLD, and bundles."""

    def __init__(self, folder: Path, board: str, format: str) -> None:
        self.board = board
        self.identity: Identity = crypto.run(generate_steps(bytes(range(64))))
        self.tree = folder / "tree"
        words = [board, self.identity.ed_pub.hex(), str(self.tree), SETTINGS, format]
        subprocess.run([sys.executable, "-c", BUILD, *words], check=True, cwd=ROOT, timeout=120)
        slot = self.tree / "slot_a"
        files = {str(path.relative_to(slot)): path.read_bytes() for path in slot.rglob("*.*py")}
        self.files = {path: data.replace(OLD, NEW) for path, data in files.items()}
        assert self.files != files, "no file has the version in it"

    def bundle(self, path: Path, version: bytes, **changed: bytes) -> Path:
        files = {**self.files, **{f"{name}.py": data for name, data in changed.items()}}
        path.write_bytes(sign(make(self.board, version.decode(), files), self.identity).encoded())
        return path


@pytest.fixture(scope="module")
def maker(rig: RigFile, kit_board: str, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    # Sources are quicker to build; a flashed board's self-test has no room beside them.
    return Maker(tmp_path_factory.mktemp("maker"), kit_board, "source" if rig.virtual else "mpy")


@pytest.fixture
def node(new_node: Callable[..., Node], maker: Maker) -> Node:
    one = new_node(maker.tree, speed=SPEED)
    one.start()
    return one


class Clinic(Stack):
    """A stack whose agent believes the maker."""

    def prepare(self, maker: Maker) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self.start()
        makers = self.agent_dir / "makers"
        makers.mkdir()
        key = Ed25519PublicKey.from_public_bytes(maker.identity.ed_pub)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        (makers / "maker.pub").write_bytes(key.public_bytes(serialization.Encoding.PEM, form))
        self.stop("agent")
        with self.config.open("a") as file:
            file.write(f"[updates]\nshare_percent = {SHARE * 100}\nsoak_min = 0\ntrial_min = 5\n")
        self.start_agent()
        self.wait_until("the node is live", lambda: self.node()["live"])

    def update(self, *words: str, ok: bool = True) -> str:
        return self.command("update", words[0], "--config", str(self.config), *words[1:], ok=ok)

    def node(self) -> dict[str, Any]:
        nodes = {one["node"]: one for one in self.status()["nodes"]}
        # A KeyError is waited out: an agent that has just begun knows of none.
        return nodes[min(nodes, default="")]

    def told_of_update(self) -> dict[str, Any]:
        """What the status says of it; {} in one from before the roll-out began."""
        return self.node()["update"] or {}

    def became(self, state: str, while_waiting: Callable[[], None] = lambda: None) -> Any:
        def now() -> bool:
            while_waiting()
            return self.told_of_update()["state"] == state

        return self.wait_until(f"the node is {state}", now, 300)


@pytest.fixture
def clinic(node: Node, maker: Maker, tmp_path: Path) -> Iterator[Clinic]:
    stack = Clinic(tmp_path / "stack", [node.port])
    try:
        stack.prepare(maker)
        yield stack
    finally:
        stack.close()


@pytest.mark.bench("power", has=("update",))
def test_a_version_is_rolled_out_and_a_bad_one_halts(
    node: Node, clinic: Clinic, maker: Maker, tmp_path: Path
) -> None:
    clinic.update("add", str(maker.bundle(tmp_path / "new.vwu", NEW)))
    clinic.update("start", NEW.decode(), "--percent", "100")

    def percent() -> float:
        return clinic.told_of_update().get("percent", 0)

    clinic.wait_until("a part is there", lambda: percent() > 3)
    clinic.kill("agent")
    clinic.start_agent()
    clinic.wait_until("it goes on", lambda: clinic.node()["live"] and percent() > 3)
    node.power_cycle()
    clinic.wait_until("it goes on from its flash", lambda: clinic.node()["live"] and percent() > 3, 120)
    share: list[float] = []
    clinic.became("confirmed", lambda: share.append(clinic.status()["updates"]["share"] or 0.0))
    told = clinic.update("node", clinic.node()["node"])
    print(f"{told}share of the link {max(share):.3f} of {SHARE}; {clinic.node()['status']}")
    assert 0 < max(share) <= SHARE
    clinic.wait_until("it says so", lambda: clinic.node()["about"]["firmware"] == NEW.decode())
    assert clinic.wait_until("finished", lambda: "finished" in clinic.update("status"))
    bad = maker.bundle(tmp_path / "bad.vwu", BAD, start=b"raise ValueError('no good')\n")
    clinic.update("add", str(bad))
    clinic.update("start", BAD.decode(), "--percent", "100")
    clinic.became("rolled back")
    assert clinic.wait_until("halted", lambda: "halted: 1 rolled back" in clinic.update("status", ok=False))
    clinic.wait_until("the good one runs", lambda: clinic.node()["about"]["firmware"] == NEW.decode())
    assert "was rolled back" not in json.dumps(clinic.node()["alarms"])
    codes = clinic.told()
    assert codes.count("rollout_started") == 2 and codes[-1] == "rollout_halted"
    assert clinic.ledger()["balanced"]
