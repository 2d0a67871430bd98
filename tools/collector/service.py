"""The collector as a process: one MQTT 5 connection, one status file.

paho's thread receives and hands over; the main thread verifies, stores and answers, all that waits in one
transaction. A message is acknowledged to the broker only when what it led to is on the disk, and the number
that the broker may send ahead is bounded, so memory is too. The subscription is shared (`$share/…`): several
collectors on one database divide the work.
"""

import logging
import queue
import ssl
import sys
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

from edge_agent.files import check_secret, read_secret
from edge_agent.forward.mqtt_client import Client
from edge_agent.keys import KeyFileError
from tools.collector import database, status
from tools.collector.deadman import SILENT_AFTER_S, DeadMan
from tools.collector.intake import MAX_MESSAGE, Intake, Reply
from tools.collector.people import Erasing
from tools.collector.saying import Alarms, FarEnd, Trusted
from tools.collector.store import Store

log = logging.getLogger("vitalwire.collector")

FILTERS = {"batch": "vitalwire/1/+/batch", "ask": "vitalwire/1/+/ask"}
RECEIVE_MAXIMUM = 20
"""Messages that the broker sends before the first of them is acknowledged."""
MOST_KEPT = MAX_MESSAGE + 1024
"""Of a packet: enough to see that it is too large."""
SESSION_EXPIRY_S = 7 * 24 * 3600
KEEP_ALIVE_S = 20
RETRY_STORE_S = 1.0
ERASE_EVERY_S = 10.0
TOGETHER_BYTES = 4 << 20
"""Of messages that are stored in one transaction: many small ones, or one that is large."""


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
    cert_file: Path | None = None
    cert_key_file: Path | None = None

    @staticmethod
    def of_url(
        url: str,
        username: str | None,
        password_file: Path | None,
        ca_file: Path | None,
        cert_file: Path | None = None,
        cert_key_file: Path | None = None,
    ) -> "Broker":
        """From `mqtt://host[:port]` or `mqtts://host[:port]`. BrokerError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as e:
            raise BrokerError(url, str(e)) from e
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.username:
            raise BrokerError(url, "expected mqtt://host[:port] or mqtts://host[:port]")
        tls = parts.scheme == "mqtts"
        if not tls and (ca_file or cert_file or cert_key_file):
            raise BrokerError(url, "certificates are for mqtts://")
        files = (password_file, ca_file, cert_file, cert_key_file)
        return Broker(parts.hostname, port or (8883 if tls else 1883), tls, username, *files)

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class _Received:
    topic: str
    payload: bytes
    mid: int
    connection: int


class Service:
    """Runs until `stop()`. `status_path` is rewritten at most once a second. `instance` (4 bytes) names this
    collector at the broker, also among those that share its identity.
    """

    def __init__(
        self,
        intake: Intake,
        store: Store,
        broker: Broker,
        status_path: Path,
        instance: bytes,
        silent_after_s: float = SILENT_AFTER_S,
        erasing: Erasing | None = None,
    ):
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
        self._status_problem = ""
        self._away_since_s = 0.0
        self._key_problem = ""
        self._started_ms = time.time_ns() // 1_000_000
        self._instance = instance
        self._dead_man = DeadMan(silent_after_s, log.warning)
        self._alarms = Alarms(log)
        self._trusted = Trusted(log, intake.trust.ids())
        self._far = FarEnd(log, f"broker {broker}")
        self._erasing = erasing
        self._people_problem = ""
        self._client = self._make_client()

    def stop(self) -> None:
        """Finish the messages in hand and return from `run`. May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Connect (for ever, if need be), and serve. Errors of the database when the store is damaged."""
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
        next_status = next_erasing = 0.0
        try:
            while not self._stopping.is_set():
                if time.monotonic() >= next_status:
                    self._look_around()
                    self._write_status("running")
                    next_status = time.monotonic() + 1
                if time.monotonic() >= next_erasing:
                    self._erase()
                    next_erasing = time.monotonic() + ERASE_EVERY_S
                messages = self._waiting()
                if messages:
                    self._serve(messages)
        finally:
            self._client.disconnect()
            self._client.loop_stop()
            self._connected = False
            self._write_status("stopped")

    def _waiting(self) -> list[_Received]:
        """The messages that are here, or the first that comes within a moment."""
        found: list[_Received] = []
        size = 0
        while size < TOGETHER_BYTES and len(found) < RECEIVE_MAXIMUM:
            try:
                found.append(self._inbox.get_nowait() if found else self._inbox.get(timeout=0.2))
            except queue.Empty:
                break
            size += len(found[-1].payload)
        return found

    def _serve(self, messages: list[_Received]) -> None:
        """Handle them; a full disk, or a server that is away, is waited out: nothing was promised yet."""
        while not self._stopping.is_set():
            try:
                answers = self._intake.handle_all([(one.topic, one.payload) for one in messages])
            except database.unavailable() as e:
                self._store_is_away(e)
                self._write_status("running")
                self._stopping.wait(RETRY_STORE_S)
                continue
            self._store_is_back()
            for message, replies in zip(messages, answers, strict=True):
                for reply in replies:
                    self._publish(reply)
                # After a reconnection the broker has numbered anew: an old number would acknowledge
                # something else.
                if message.connection == self._connection:
                    self._client.ack(message.mid, 1)
            return

    def _store_is_away(self, e: Exception) -> None:
        if not self._store_problem:
            self._away_since_s = time.monotonic()
            what = "it is tried again by itself; until then nothing is stored, so nothing receipted"
            log.warning("the store %s takes nothing: %s (%s)", self._store.name, _in_a_line(e), what)
        self._store_problem = _in_a_line(e)

    def _store_is_back(self) -> None:
        if self._store_problem:
            away_s = time.monotonic() - self._away_since_s
            log.info("the store %s takes everything again, after %.0f s", self._store.name, away_s)
        self._store_problem = ""

    def _look_around(self) -> None:
        """What may have changed beside us: the key was handed over, an agent is trusted, one fell silent."""
        try:
            self._intake.reload_key()
            self._key_problem = ""
        except KeyFileError as e:
            # The key that was used so far is still good.
            if str(e) != self._key_problem:
                log.warning("the key of before goes on signing: %s", e)
            self._key_problem = str(e)
        trusted = self._intake.trust.ids()
        self._trusted.look(trusted, self._intake.trust.problems)
        now_ms = time.time_ns() // 1_000_000
        try:
            with self._store.reading():
                heard = self._store.heard()
        except database.unavailable() as e:
            self._store_is_away(e)
            return
        if self._inbox.empty():
            self._store_is_back()
        self._dead_man.look(now_ms, self._connected, trusted, heard)

    def _erase(self) -> None:
        """Carry out what operators have ordered erased."""
        if self._erasing is None:
            return
        try:
            for sentence in self._erasing.run(time.time_ns() // 1_000_000):
                log.info("%s", sentence)
            problem = ""
        except database.unavailable() as e:
            problem = f"an erasure waits: {_in_a_line(e)}"
        except (KeyFileError, OSError) as e:
            problem = f"no erasure can be checked: {_in_a_line(e)}"
        if problem and problem != self._people_problem:
            log.warning("%s", problem)
        self._people_problem = problem

    def _publish(self, reply: Reply) -> None:
        self._client.publish(reply.topic, reply.payload, qos=1)

    def _write_status(self, state: str) -> None:
        facts: dict[str, Any] = {
            "state": state,
            "collector": self._intake.collector_id.hex(),
            "broker": str(self._broker),
            "connected": self._connected,
            "broker_problem": self._broker_problem,
            "store": self._store.name,
            "store_problem": self._store_problem,
            "store_warning": self._store.db.warning,
            "key": self._intake.key_number,
            "key_problem": self._key_problem,
            "people_problem": self._people_problem,
            "started_ms": self._started_ms,
            "written_ms": time.time_ns() // 1_000_000,
            "agents": [agent.hex() for agent in self._intake.trust.ids()],
            "trust_problems": dict(self._intake.trust.problems),
        }
        try:
            with self._store.reading():
                silent = list(self._dead_man.silent.values())
                now_ms = time.time_ns() // 1_000_000
                facts.update(status.summary(self._store, now_ms, silent))
                self._alarms.look(status.alarms(self._store, now_ms))
        except database.errors() as e:
            facts["store_problem"] = _in_a_line(e)
        try:
            status.write(self._status_path, facts)
        except OSError as e:
            # Of a disk that is full, which the store waits out, too.
            if not self._status_problem:
                log.warning("%s is not up to date: %s; trying again", self._status_path, _in_a_line(e))
            self._status_problem = _in_a_line(e)
        else:
            self._status_problem = ""

    # ---- paho's thread

    def _make_client(self) -> mqtt.Client:
        client = Client(
            MOST_KEPT,
            CallbackAPIVersion.VERSION2,
            client_id=f"vitalwire-collector-{self._intake.collector_id.hex()}-{self._instance.hex()}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        if self._broker.username is not None:
            password = None
            if self._broker.password_file is not None:
                try:
                    password = read_secret(self._broker.password_file).decode("utf-8").strip()
                except OSError as e:
                    raise BrokerError(str(self._broker), f"password file: {e}") from e
            client.username_pw_set(self._broker.username, password)
        if self._broker.tls:
            client.tls_set_context(tls_context(self._broker))
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._lost(f"it refuses us: {reason}")
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
        if refused:
            self._lost(f"the broker refuses a subscription: {refused[0]}")
            return
        self._connected, self._broker_problem = True, ""
        self._far.there()

    def _lost(self, why: str) -> None:
        self._connected = False
        self._broker_problem = why
        if not self._stopping.is_set():
            self._far.lost(why)

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        # paho calls this while it handles the error.
        error = sys.exc_info()[1]
        self._lost("cannot connect" + (f": {_in_a_line(error)}" if isinstance(error, Exception) else ""))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        # Where the broker refused us, why is told already.
        if self._connected or not self._broker_problem:
            self._lost(f"connection lost: {reason}")

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._inbox.put(_Received(message.topic, bytes(message.payload), message.mid, self._connection))


def tls_context(broker: Broker) -> ssl.SSLContext:
    """As the broker's files say. BrokerError names the file."""
    try:
        context = ssl.create_default_context(cafile=None if broker.ca_file is None else str(broker.ca_file))
    except OSError as e:
        raise BrokerError(str(broker), f"CA file {broker.ca_file}: {e}") from e
    if broker.cert_file is not None:
        try:
            check_secret(broker.cert_key_file or broker.cert_file)
            context.load_cert_chain(broker.cert_file, broker.cert_key_file)
        except OSError as e:
            raise BrokerError(str(broker), f"certificate {broker.cert_file} and its key: {e}") from e
    return context


def _in_a_line(e: Exception) -> str:
    return " ".join(str(e).split()) or type(e).__name__
