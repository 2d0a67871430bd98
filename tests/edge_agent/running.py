"""The agent in a thread, an MQTT broker in a process, a collector behind it, and waiting for facts."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import iotcore
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent import keys, tasks
from edge_agent.agent import Agent
from edge_agent.config import Config, LinkConfig, MqttConfig
from edge_agent.keys import PublicKeys
from edge_agent.ledger.ledger import Ledger, ledger
from edge_agent.nodes.peers import Peers
from edge_agent.ops import status
from tests.edge_agent.fakes import FakeNode, StubCollector
from tests.edge_agent.stands import left_by_agent, stands
from tools.demo.broker import free_port

# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0


def wait_until(fact: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Poll until `fact` gives something true, and give that; AssertionError when it does not in time.

    A status that is not written yet, or lacks the part that is asked for, is not true yet.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        missing: LookupError | None = None
        try:
            found = fact()
        except LookupError as e:
            found, missing = None, e
        if found:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}") from missing
        time.sleep(0.03)


class Kit:
    """A state directory with keys; `configure()` gives the agent's configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identity = keys.load_or_create(folder / "agent.key", "agent")
        self.mqtt: MqttConfig | None = None
        self.collector: StubCollector | None = None
        self.options: dict[str, Any] = {"commit_ms": 10, "batch_s": 0.1}

    def pair(self, *nodes: FakeNode) -> None:
        for node in nodes:
            Peers(self.folder / "peers.json").add(PublicKeys(*node.identity.public()))

    def collect(self, port: int, timeout_s: float = 1.0) -> StubCollector:
        self.collector = StubCollector(self.identity)
        path = self.folder / "collector.pub"
        keys.write_public(path, "collector", PublicKeys(*self.collector.identity.public()))
        self.mqtt = MqttConfig("127.0.0.1", port, receipt_timeout_s=timeout_s)
        self.options["collector"] = path
        return self.collector

    def config(self, *ports: str) -> Config:
        links = tuple(LinkConfig(port) for port in ports)
        return Config(self.folder, self.folder / "agent.key", links, mqtt=self.mqtt, **self.options)

    @property
    def status(self) -> dict[str, Any]:
        return status.read(self.folder / "status.json") or {}

    @property
    def ledger(self) -> Ledger:
        return ledger(self.folder / "agent.db")

    def totals(self) -> dict[str, int]:
        return self.ledger.totals


class Running:
    """An agent that runs until the end of the `with`, or until stop(), and leaves no task of its own.

    It holds its lock by then, so that no command takes itself for the agent, or has ended.
    """

    def __init__(self, config: Config) -> None:
        self.agent = Agent(config)
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._left: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._ready.set()
            await self.agent.run(self._stop)
            self._left = left_by_agent(asyncio.all_tasks() - {asyncio.current_task()})

        try:
            tasks.run(main())
        except BaseException as e:
            self.error = e

    def __enter__(self) -> "Running":
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the agent's loop does not start"
        deadline = time.monotonic() + PATIENCE_S
        while self.agent._lock is None and self._thread.is_alive():
            assert time.monotonic() < deadline, "the agent does not take its lock"
            time.sleep(0.001)
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            assert self._loop is not None and self._stop is not None
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE_S)
            self._over("the agent does not stop")

    def ended(self) -> BaseException | None:
        """How it ended by itself."""
        self._thread.join(PATIENCE_S)
        self._over("the agent goes on")
        return self.error

    def _over(self, otherwise: str) -> None:
        if self._thread.is_alive():
            assert self._loop is not None
            raise AssertionError(f"{otherwise}:\n{stands(self._loop)}")

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if self.error is not None and exc[0] is None:
            raise self.error
        assert exc[0] is not None or not self._left, f"tasks that outlive their agent: {self._left}"


BROKER = """
id = 0
[router]
id = 0
max_connections = 50
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[{version}.1]
name = "{version}"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 8388608
max_inflight_count = 100
dynamic_filters = true
"""


class Broker:
    """iotcore (rumqttd) on loopback; `version` "v5" speaks MQTT 5 only, "v4" MQTT 3.1.1 only."""

    def __init__(self, folder: Path, version: str = "v5", port: int = 0) -> None:
        self.port = port or free_port()
        path = folder / f"broker-{version}.toml"
        path.write_text(BROKER.format(version=version, port=self.port))
        self._path = str(path)
        self._broker = None
        self.start()

    def start(self) -> None:
        self._broker = iotcore.Broker(config_path=self._path)
        self._broker.start()
        wait_until(lambda: not closed(self.port), "the broker listens")

    def stop(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def closed(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Collecting:
    """A StubCollector at the broker."""

    def __init__(
        self, far: StubCollector, port: int, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    ) -> None:
        self.far = far
        self.messages: list[tuple[str, bytes]] = []
        self.topic = f"vitalwire/1/{far.agent.id.hex()}"
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="stub", protocol=version)
        self.client.on_connect = self._connected
        self.client.on_message = self._message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port, keepalive=20)

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe("vitalwire/1/+/+", qos=1)

    def _message(self, client: Any, _: Any, message: Any) -> None:
        kind = message.topic.rsplit("/", 1)[1]
        if kind in ("batch", "ask"):
            self.messages.append((kind, message.payload))
            answer = self.far.take(kind, message.payload)
            if answer is not None:
                self.say(answer)

    def say(self, payload: bytes) -> None:
        self.client.publish(f"{self.topic}/receipt", payload, qos=1)

    def __enter__(self) -> "Collecting":
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
