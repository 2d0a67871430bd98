"""The clinic's side of a command: said over the broker until its agent has answered.

A command is repeated every few seconds under one id; an agent carries it out once, and tells each time what
became of it. The broker sees neither command nor answer.
"""

import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.files import read_secret
from edge_agent.forward import tls
from edge_agent.forward.mqtt_client import Client
from edge_agent.remote.ordering import Ordering
from protocol.remote_seal import MAX_ANSWER
from tools.collector.service import Broker, BrokerError

SAY_AGAIN_S = 4.0
KEEP_ALIVE_S = 20
# What a measurement may take after the command has expired.
MEASURE_S = 420.0


class Unanswered(Exception):
    """No answer within the time. `problem`: what is wrong with the broker, or between us and it; "" where we
    were connected, and it took what we said.
    """

    def __init__(self, broker: Broker, problem: str) -> None:
        # A broker may take a subscription, and deliver nothing for it.
        said = (
            "the agent did not answer: is it running and connected to this broker, and may this user read "
            "its answers there?"
        )
        super().__init__(f"broker {broker}: {problem}" if problem else said)
        self.problem = problem


class Line:
    """A connection to the broker for one agent's answers."""

    def __init__(self, broker: Broker, agent: bytes) -> None:
        self.forbidden = ""
        self._lost = "no connection"
        self._alert = ""
        self.ready = threading.Event()
        self.heard: queue.Queue[bytes] = queue.Queue(1000)
        self._topic = f"vitalwire/1/{agent.hex()}"
        self._client = Client(
            MAX_ANSWER + 1024,
            CallbackAPIVersion.VERSION2,
            client_id=f"vitalwire-order-{secrets.token_hex(8)}",
            protocol=mqtt.MQTTv5,
        )
        if broker.username is not None:
            password = None
            if broker.password_file is not None:
                try:
                    password = read_secret(broker.password_file).decode("utf-8").strip()
                except OSError as e:
                    raise BrokerError(str(broker), f"password file: {e}") from e
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            self._client.tls_set_context(tls.context(broker.ca_file, broker.cert_file, broker.cert_key_file))
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_log = self._on_log
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, keepalive=KEEP_ALIVE_S)
        self._client.loop_start()

    @property
    def problem(self) -> str:
        """What is wrong between us and the broker, in words; "": nothing."""
        return self.forbidden or tls.explain(self._alert or self._lost)

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
            self._lost = f"it refused the connection: {reason}"
        else:
            client.subscribe(f"{self._topic}/answer", qos=1)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _props: Any) -> None:
        refused = [reason for reason in reasons if reason.is_failure]
        if refused:
            self.forbidden = (
                f"it does not let us read {self._topic}/answer ({refused[0]}): allow it to this user"
            )
        else:
            self._lost = self._alert = ""
            self.ready.set()

    def _on_publish(self, _client: mqtt.Client, _data: Any, _mid: int, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            self.forbidden = (
                f"it does not let us publish on {self._topic}/command ({reason}): allow it to this user"
            )

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        # paho calls this while it handles the error, and does not say which.
        why = sys.exc_info()[1]
        self._lost = str(why) if why is not None and str(why) else "cannot connect"

    def _on_log(self, _client: mqtt.Client, _data: Any, level: int, text: str) -> None:
        # paho tells of a TLS alert here only.
        if level == mqtt.MQTT_LOG_ERR and "SSL" in text:
            self._alert = text

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _props: Any) -> None:
        self.ready.clear()
        self._lost = f"the connection was lost: {reason}"

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
    try:
        while time.monotonic() < ends:
            answer = ordering.answer
            if line.forbidden and answer is None:
                break
            if line.ready.is_set() and time.monotonic() - said_s >= SAY_AGAIN_S:
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
            raise Unanswered(broker, line.problem)
    finally:
        line.close()
