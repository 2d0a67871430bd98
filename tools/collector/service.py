"""The collector as a process: one MQTT 5 connection, one writer, one status file.

paho's thread receives and hands over; the main thread verifies, stores and answers. A message is acknowledged
to the broker only when what it led to is on the disk, and the number that the broker may send ahead is
bounded, so memory is too. The subscription is shared (`$share/…`): several collectors on one database divide
the work.
"""

import queue
import secrets
import sqlite3
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tools.collector import status
from tools.collector.intake import Intake, Reply
from tools.collector.store import Store

FILTERS = {"batch": "vitalwire/1/+/batch", "ask": "vitalwire/1/+/ask"}
RECEIVE_MAXIMUM = 20
"""Messages that the broker sends before the first of them is acknowledged."""
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEP_ALIVE_S = 20
RETRY_STORE_S = 1.0


class BrokerError(Exception):
    """The broker's address or credentials cannot be used: `url` and `problem`."""

    def __init__(self, url: str, problem: str):
        super().__init__(f"broker {url}: {problem}")
        self.url = url
        self.problem = problem


@dataclass(frozen=True)
class Broker:
    """Where the broker is and how to get in. The password is read from its file, and never shown."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None

    @staticmethod
    def of_url(url: str, username: str | None, password_file: Path | None, ca_file: Path | None) -> "Broker":
        """From `mqtt://host[:port]` or `mqtts://host[:port]`. BrokerError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as e:
            raise BrokerError(url, str(e)) from e
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.username:
            raise BrokerError(url, "expected mqtt://host[:port] or mqtts://host[:port]")
        tls = parts.scheme == "mqtts"
        return Broker(parts.hostname, port or (8883 if tls else 1883), tls, username, password_file, ca_file)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class _Received:
    topic: str
    payload: bytes
    mid: int
    connection: int


class Service:
    """Runs until `stop()`. `status_path` is rewritten at most once a second."""

    def __init__(self, intake: Intake, store: Store, broker: Broker, status_path: Path):
        self._intake = intake
        self._store = store
        self._broker = broker
        self._status_path = status_path
        self._inbox: queue.Queue[_Received] = queue.Queue()
        self._stopping = threading.Event()
        self._connection = 0
        self._connected = False
        self._broker_problem = ""
        self._store_problem = ""
        self._started_ms = time.time_ns() // 1_000_000
        self._client = self._make_client()

    def stop(self) -> None:
        """Finish the message in hand and return from `run`. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Connect (for ever, if need be), and serve. sqlite3.DatabaseError when the store is damaged."""
        connect = Properties(PacketTypes.CONNECT)
        connect.SessionExpiryInterval = SESSION_EXPIRY_S
        connect.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect_async(
            self._broker.host,
            self._broker.port,
            keepalive=KEEP_ALIVE_S,
            clean_start=False,
            properties=connect,
        )
        self._client.loop_start()
        next_status = 0.0
        try:
            while not self._stopping.is_set():
                if time.monotonic() >= next_status:
                    self._write_status("running")
                    next_status = time.monotonic() + 1
                try:
                    message = self._inbox.get(timeout=0.2)
                except queue.Empty:
                    continue
                self._serve(message)
        finally:
            self._client.disconnect()
            self._client.loop_stop()
            self._connected = False
            self._write_status("stopped")

    def _serve(self, message: _Received) -> None:
        """Handle one message; a full or busy disk is waited out, since nothing was promised yet."""
        while not self._stopping.is_set():
            try:
                replies = self._intake.handle(message.topic, message.payload)
            except sqlite3.OperationalError as e:
                self._store_problem = str(e)
                self._write_status("running")
                self._stopping.wait(RETRY_STORE_S)
                continue
            self._store_problem = ""
            for reply in replies:
                self._publish(reply)
            # After a reconnection the broker has numbered anew: an old number would acknowledge something
            # else.
            if message.connection == self._connection:
                self._client.ack(message.mid, 1)
            return

    def _publish(self, reply: Reply) -> None:
        self._client.publish(reply.topic, reply.payload, qos=1)

    def _write_status(self, state: str) -> None:
        facts: dict[str, Any] = {
            "state": state,
            "collector": self._intake.collector_id.hex(),
            "broker": str(self._broker),
            "connected": self._connected,
            "broker_problem": self._broker_problem,
            "store_problem": self._store_problem,
            "started_ms": self._started_ms,
            "written_ms": time.time_ns() // 1_000_000,
            "agents": [agent.hex() for agent in self._intake.trust.ids()],
            "trust_problems": dict(self._intake.trust.problems),
        }
        try:
            facts.update(status.summary(self._store, time.time_ns() // 1_000_000))
        except sqlite3.DatabaseError as e:
            facts["store_problem"] = str(e)
        status.write(self._status_path, facts)

    # ---- paho's thread

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id(),
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        if self._broker.username is not None:
            password = None
            if self._broker.password_file is not None:
                try:
                    password = self._broker.password_file.read_text(encoding="utf-8").strip()
                except OSError as e:
                    raise BrokerError(str(self._broker), f"password file: {e}") from e
            client.username_pw_set(self._broker.username, password)
        if self._broker.tls:
            ca_file = None if self._broker.ca_file is None else str(self._broker.ca_file)
            try:
                client.tls_set_context(ssl.create_default_context(cafile=ca_file))
            except OSError as e:
                raise BrokerError(str(self._broker), f"CA file: {e}") from e
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _client_id(self) -> str:
        """Each store has a name of its own at the broker, also when collectors share one identity."""
        instance = self._store.meta("instance")
        if instance is None:
            instance = secrets.token_bytes(4)
            with self._store.transaction():
                self._store.set_meta("instance", instance)
        return f"vitalwire-collector-{self._intake.collector_id.hex()}-{instance.hex()}"

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._broker_problem = str(reason)
            return
        self._connection += 1
        # A group for each filter: rumqttd delivers only the first filter of a group that has two. With this
        # collector's id in its name: another collector at the same broker must not take what is sealed to us.
        group = f"$share/vitalwire-{self._intake.collector_id.hex()}"
        options = SubscribeOptions(qos=1)
        client.subscribe([(f"{group}-{name}/{topic}", options) for name, topic in FILTERS.items()])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any
    ) -> None:
        """Only now does what is sent to us reach us."""
        refused = [reason for reason in reasons if reason.is_failure]
        self._connected = not refused
        self._broker_problem = f"the broker refuses a subscription: {refused[0]}" if refused else ""

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._connected = False
        self._broker_problem = "cannot connect"

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._connected = False
        self._broker_problem = str(reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._inbox.put(_Received(message.topic, bytes(message.payload), message.mid, self._connection))
