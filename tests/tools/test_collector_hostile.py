"""The collector as a process at a broker where anybody may publish: bounded, and its agents are served."""

import json
import os

import pytest

from edge_agent import keys
from protocol import batch, receipts
from tests.edge_agent.hostile import Publisher, memory_kb
from tests.edge_agent.running import wait_until
from tests.tools.test_collector_service import Agent
from tools.demo.processes import Child

MESSAGES = int(os.environ.get("HOSTILE_MESSAGES", "1000"))
MOST_KB = 120_000
"""All at once they would have 190 MB."""


@pytest.fixture
def site(tmp_path, mosquitto):
    broker, state = mosquitto(), tmp_path / "state"
    identity = keys.create(state / "collector.key", "collector")
    agent = Agent(tmp_path, keys.PublicKeys(*identity.public()), broker.port)
    agent._client.on_message = lambda _c, _d, message: (
        None if receipts.is_refusal(message.payload) else agent.answers.put(bytes(message.payload))
    )
    (state / "agents").mkdir()
    (tmp_path / "agent.pub").rename(state / "agents" / "agent.pub")
    arguments = ["collector", "run", "--state", str(state), "--broker", broker.url]
    collector = Child("collector", arguments, tmp_path / "log")
    yield state, broker, agent, collector
    agent.close()
    assert collector.stop() == 0


def test_large_batches_and_ten_thousand_of_strangers(site):
    """9 MB and 100 MB on its agent's topic, batches of nobody, and the agent's own in between."""
    state, broker, agent, collector = site

    def status() -> dict:
        collector.check()
        try:
            return json.loads((state / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def serve(number: int) -> None:
        message = agent.make()
        agent.publish("batch", message)
        agent.deliver(message, number)

    wait_until(lambda: status().get("connected"), "connected")
    stranger = batch.seal_batch(bytes(200), bytes(8), agent.collector.x_pub, agent.collector.id)
    with Publisher(broker.port) as enemy:
        serve(0)
        before = memory_kb(collector.pid)
        for _ in range(3):
            enemy.say(f"{agent.topic}/batch", bytes(9 << 20)).wait_for_publish(60)
        enemy.say(f"{agent.topic}/batch", bytes(100_000_000)).wait_for_publish(60)
        serve(1)
        for n in range(MESSAGES):
            last = enemy.say(f"vitalwire/1/{n:016x}/batch", stranger)
            if n == MESSAGES // 2:
                serve(2)
        last.wait_for_publish(60)
        serve(3)
        wait_until(lambda: status()["refused"].get("unknown_agent", 0) == MESSAGES, "all were refused")
        peak = memory_kb(collector.pid, "VmHWM")
    print(f"collector: {before} KB before, {peak} KB at most")
    assert peak - before < MOST_KB
    wait_until(lambda: status()["batches"] == 4 and status()["refused"]["too_large"] == 4, "it is told")
    assert status()["frames"] == 4
