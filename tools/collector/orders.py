"""The clinic's side of a command: said over the broker until its agent has answered.

A command is repeated every few seconds under one id; an agent carries it out once, and tells each time what
became of it. The broker sees neither command nor answer.
"""

import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.ordering import Ordering
from tools.collector.service import Broker, BrokerError, tls_context

SAY_AGAIN_S = 4.0
KEEP_ALIVE_S = 20
# What a measurement may take after the command has expired.
MEASURE_S = 420.0


class Unanswered(Exception):
    """No end within the time: `heard`: whether the broker was there."""

    def __init__(self, broker: Broker, heard: bool, problem: str) -> None:
        said = "the agent did not answer: is it running, and connected to this broker?"
        super().__init__(said if heard else f"broker {broker}: {problem or 'no connection'}")
        self.heard = heard


class Line:
    """A connection to the broker for one agent's answers."""

    def __init__(self, broker: Broker, agent: bytes) -> None:
        self.problem = ""
        self.ready = threading.Event()
        self.heard: queue.Queue[bytes] = queue.Queue(1000)
        self._topic = f"vitalwire/1/{agent.hex()}"
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"vitalwire-order-{secrets.token_hex(8)}",
            protocol=mqtt.MQTTv5,
        )
        if broker.username is not None:
            password = None
            if broker.password_file is not None:
                try:
                    password = broker.password_file.read_text(encoding="utf-8").strip()
                except OSError as e:
                    raise BrokerError(str(broker), f"password file: {e}") from e
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            self._client.tls_set_context(tls_context(broker))
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    def say(self, message: bytes) -> None:
        """Publish a command."""
        self._client.publish(f"{self._topic}/command", message, qos=1)

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()

    # paho's thread

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            self.problem = str(reason)
        else:
            client.subscribe(f"{self._topic}/answer", qos=1)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _props: Any) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            self.problem = f"it does not let us read {self._topic}/answer: {refused[0]}"
        else:
            self.ready.set()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        self.ready.clear()
        self.problem = str(reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self.heard.put_nowait(bytes(message.payload))
        except queue.Full:
            # Whoever floods the topic: ours is said again.
            return


def order(
    broker: Broker, agent: bytes, ordering: Ordering, valid_s: float, tell: Callable[[str], None]
) -> None:
    """Say it until its end, and `tell` each step. Unanswered; OrderingError, BrokerError as they come."""
    line = Line(broker, agent)
    ends = time.monotonic() + valid_s
    said_s = 0.0
    met = False
    try:
        while time.monotonic() < ends:
            answer = ordering.answer
            if line.ready.is_set():
                met = True
                if time.monotonic() - said_s >= SAY_AGAIN_S:
                    said_s = time.monotonic()
                    line.say(ordering.message())
            try:
                heard = line.heard.get(timeout=0.2)
            except queue.Empty:
                continue
            if not ordering.take(heard):
                continue
            tell(ordering.said())
            if ordering.answer is not None and ordering.answer.final:
                return
            if answer is None:
                # The agent has it: what comes of it may take a while longer.
                ends += MEASURE_S
            if ordering.command.order is not None:
                said_s = 0.0
        if ordering.answer is None:
            raise Unanswered(broker, met, line.problem)
    finally:
        line.close()
