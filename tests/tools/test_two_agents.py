"""Two agents on copies of one state directory, both under load, at a real Mosquitto and one collector."""

import asyncio
import json
import os
import random
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from edge_agent.ops import status
from tests.conftest import absent
from tools.crash.checks import problems
from tools.crash.nodes import Flock
from tools.crash.world import Process, World, broker_program
from tools.demo.broker import free_port

PATIENCE_S = 90.0
NODES = 2
SAID = "only another agent with the same key"


def test_two_agents_with_one_key_are_named_and_lose_nothing(tmp_path):
    if broker_program() is None:
        absent("no Mosquitto: tools/services/install.sh installs Debian's")
    asyncio.run(_both(World(tmp_path / "world")))


async def _until(fact, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        # A status that is not written yet is not true yet.
        with suppress(KeyError, TypeError, FileNotFoundError):
            if fact():
                return
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        await asyncio.sleep(0.1)


def _copy(world: World) -> tuple[Process, Path, int]:
    """Another agent on a copy of the first one's state directory; that, and its port."""
    state, port = world.folder / "agent-2", free_port()
    shutil.copytree(world.state, state)
    config = world.folder / "agent-2.toml"
    text = world.config.read_text().replace(str(world.state), str(state))
    config.write_text(text.replace(f':{world.port}"', f':{port}"'))
    victim = [sys.executable, "-m", "tools.crash.victim", str(os.getpid()), str(world.folder / "steering")]
    return Process("agent 2", [*victim, str(config)], world.folder / "agent-2.log"), state, port


async def _both(world: World) -> None:
    first, second = (Flock(random.Random(n), world.agent_identity, NODES, 10.0) for n in (1, 2))
    world.pair([node.identity for node in (*first.nodes, *second.nodes)])

    def custody(state) -> dict:
        return status.read(state / "status.json")["custody"]

    def collector() -> dict:
        return json.loads((world.places[0] / "status.json").read_text())

    other = None
    try:
        world.start()
        first.start(world.port)
        first.making(True)
        await _until(lambda: custody(world.state)["receipts"] > 1, "receipts")
        world.agent.stop()
        other, copied, port = _copy(world)
        world.agent.start()
        other.start()
        second.start(port)
        second.making(True)
        logs = world.agent.log, other.log
        await _until(lambda: any(SAID in log.read_text() for log in logs), "an agent says so")
        named = {"two_agents", "fork"}
        await _until(lambda: named & {one["code"] for one in collector()["alarms"]}, "the collector says so")
        if not os.environ.get("EVERY_STEP"):
            return  # Each waits for the broker for as long as its back-off says: `make crash` has the time.
        first.making(False)
        second.making(False)
        await _until(lambda: not first.held and not second.held, "everything acknowledged")
        world.agent.stop()
        other.stop()
        # As the alarm says, one at a time: what was acknowledged and not delivered is in the stores.
        for agent, state in ((world.agent, world.state), (other, copied)):
            agent.start()
            await _until(
                lambda state=state: (
                    status.read(state / "status.json")["state"] == "running"
                    and not custody(state)["waiting_entries"]
                    and custody(state)["batches"] == custody(state)["receipts"]
                ),
                "all of it delivered",
            )
            agent.stop()
        world.collectors[0].stop()
        wrong = [
            one for one in problems(world, first.made | second.made) if "arrived" in one or "once" in one
        ]
        assert not wrong, wrong
        assert "Traceback" not in "".join(log.read_text() for log in logs)
    finally:
        await first.stop()
        await second.stop()
        if other is not None:
            other.kill()
        world.end()
