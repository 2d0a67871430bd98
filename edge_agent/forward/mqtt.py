"""The MQTT outlet (paho-mqtt): MQTT 5, or 3.1.1 where the broker speaks nothing newer; QoS 1; reconnects for
ever.

Every connection has a client of its own, because what counts is the receipt: paho's memory of unconfirmed
publications would only send twice what the forwarder sends again anyhow. The broker keeps the session (for
receipts that come while we are away). Password, certificates and authorities are read anew for each
connection. paho's callbacks run in the connection's thread and hand over to the event loop.

What the broker says at the connection is respected: the greatest packet it takes (a larger message is not
sent; it would end the connection), and how many it takes before it has acknowledged the first.
"""

import asyncio
import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.backoff import Backoff
from edge_agent.beside import beside
from edge_agent.config import MqttConfig
from edge_agent.files import read_secret
from edge_agent.forward import tls
from edge_agent.forward.base import OutletOwner
from edge_agent.forward.mqtt_client import TAKEN_OVER, Client
from edge_agent.ops.logs import about

log = about(logging.getLogger("vitalwire.mqtt"), forwarder="mqtt")

KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
SELECT_S = 1.0
GOODBYE_S = 1.0
# A connection that is only being made is left to itself: nobody there waits for a goodbye.
STOP_S = GOODBYE_S + 2 * SELECT_S
SESSION_EXPIRY_S = 7 * 24 * 3600
# CONNACK reason codes (MQTT 5.0 §3.2.2.2) that mean "not in this version of the protocol".
UNSUPPORTED = (0x84,)
# A broker that knows no MQTT 5 may also just hang up. After so many connections that end before a CONNACK,
# the other version has its turn.
SILENT_ENDS = 2
# Beside the payload: fixed header, topic, packet id, properties.
OVERHEAD = 64
# Where the broker names no limit, so many are on their way at once.
RECEIVE_MAXIMUM = 20
# Of a packet. A receipt with all hand-overs that there may be has a third of it; a command, a sixteenth.
MOST_KEPT = 64 * 1024
# Messages that the event loop has not taken yet; beyond them the connection is not read.
MOST_HANDED_OVER = 100
# Answers beyond so many that wait are not given: whoever asks again is answered again.
MOST_WAITING = 100


class MqttOutlet:
    """One broker. `problem` says why there is no connection, or what does not go over it; `version` is the
    protocol's in use.

    `commanded`: set before start(), is given what comes on our command topic. `max_message`: bytes of the
    greatest message that the broker takes, as far as is known; None: no limit is known.
    """

    def __init__(
        self, config: MqttConfig, agent_id: bytes, owner: OutletOwner, backoff: Backoff | None = None
    ) -> None:
        self.connected = False
        self.problem: str | None = None
        self.version = MQTTProtocolVersion.MQTTv5
        self.attempts = 0
        self.taken_over = 0
        self.commanded: Callable[[bytes], None] | None = None
        self.command_problem: str | None = None
        self._config = config
        self._agent_id = agent_id
        self._topic = f"vitalwire/1/{agent_id.hex()}"
        self._owner = owner
        self._backoff = backoff or Backoff(first_s=0.5, max_s=60.0, stable_s=5.0)
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._answered = False
        self._silent_ends = 0
        self._limit: int | None = None
        self._at_once = RECEIVE_MAXIMUM
        self._unacknowledged = 0
        self._too_large: str | None = None
        self._said: str | None = None
        self._forbidden: str | None = None
        self._logged: str | None = None
        self._room = threading.Semaphore(MOST_HANDED_OVER)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin connecting; the owner is told from now on."""
        self._loop = asyncio.get_running_loop()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._thread.start()

    async def stop(self) -> None:
        """Say goodbye to the broker and end the thread."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            await beside(self._thread.join, STOP_S)

    def publish(self, message: bytes) -> None:
        """Publish a sealed batch, at least once."""
        self._publish("batch", message)

    def ask(self, message: bytes) -> None:
        """Publish a question for the collector's head."""
        self._publish("ask", message)

    def answer(self, message: bytes) -> None:
        """Publish the answer to a command, unless too many wait already."""
        if len(self._outbox) < MOST_WAITING:
            self._publish("answer", message)

    @property
    def max_message(self) -> int | None:
        """See the class."""
        ours = self._config.max_packet_bytes
        limits = [limit for limit in (self._limit, ours) if limit]
        return max(0, min(limits) - OVERHEAD) if limits else None

    def too_large(self, batch: int, size: int) -> None:
        """A batch that is signed already does not fit: it waits until the limit is raised."""
        assert self.max_message is not None
        whose = "max_packet_kib" if self._limit is None else "the broker's max_packet_size"
        self._too_large = (
            f"batch {batch} has {size} bytes, a packet may have {self.max_message + OVERHEAD}: raise {whose} "
            f"to {size + OVERHEAD} at least; it waits, others go"
        )
        if self.connected:
            self.problem = self._too_large

    def status(self) -> dict[str, Any]:
        """For people and status.json."""
        said: dict[str, Any] = {
            "url": self._config.url,
            "connected": self.connected,
            "protocol": self.spoken,
            "problem": self.problem,
            "taken_over": self.taken_over,
            "max_message": self.max_message,
        }
        if self.command_problem is not None:
            said["command_problem"] = self.command_problem
        if self._config.cert_file is not None:
            expires = tls.expiry(self._config.cert_file)
            said["certificate_expires"] = None if expires is None else expires.isoformat()
        return said

    def _publish(self, kind: str, message: bytes) -> None:
        if self.connected:
            self._outbox.append((f"{self._topic}/{kind}", message))
            self._wake()

    def _wake(self) -> None:
        # A full pipe is awake already, and a closed one has nobody to wake.
        with suppress(OSError):
            self._waker.send(b"\0")

    # The connection's thread

    def _tell(self, what: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        if not self._stopping.is_set():
            try:
                self._loop.call_soon_threadsafe(what, *args)
            except RuntimeError:
                self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.attempts += 1
            self._answered = False
            try:
                problem = self._connection()
            except tls.CertificateError as e:
                problem = str(e)
            except OSError as e:
                problem = tls.explain(str(e) or type(e).__name__)
            except Exception as e:
                # paho raises a dozen kinds for bytes that are not MQTT; none may end the reconnecting.
                problem = f"not MQTT: {type(e).__name__}: {e}"
            else:
                self._judge_version()
            delay = self._backoff.failed()
            self._tell(self._disconnected, problem)
            self._stopping.wait(delay)
        self._woken.close()
        self._waker.close()

    def _connection(self) -> str:
        """Connect, serve to the end; why it ended."""
        client = self._make_client()
        five = self.version == MQTTProtocolVersion.MQTTv5
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        client.connect(
            self._config.host,
            self._config.port,
            keepalive=KEEP_ALIVE_S,
            clean_start=False if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )
        self._outbox.clear()
        self._unacknowledged = 0
        try:
            self._serve(client)
        finally:
            # Whatever became of the connection, paho's socket must not outlive it.
            found = client.socket()
            if found is not None:
                found.close()
        if self.problem is not None and self.problem != self._too_large:
            return self.problem
        if client.taken_over:
            self.taken_over += 1
            return TAKEN_OVER
        if self._answered:
            # Mosquitto hangs up after it refused a publication, which says more than the hanging up.
            return self._forbidden or "the connection was lost"
        if self._said is not None:
            return tls.explain(self._said)
        told = "the broker hung up before it answered"
        return f"{told}: it may want another client certificate" if self._config.tls else told

    def _serve(self, client: paho.Client) -> None:
        """Reads and writes until the connection ends.

        paho's own loops write from whichever thread publishes, while another reads; here one thread does all.
        """
        goodbye = None
        while (found := client.socket()) is not None:
            while self._outbox and self._unacknowledged < self._at_once:
                self._unacknowledged += 1
                client.publish(*self._outbox.popleft(), qos=1)
            pending = isinstance(found, ssl.SSLSocket) and found.pending() > 0
            writing = [found] if client.want_write() else []
            readable, writable, _ = select.select(
                [found, self._woken], writing, [], 0 if pending else SELECT_S
            )
            if self._woken in readable:
                self._woken.recv(4096)
            if self._stopping.is_set() and goodbye is None:
                goodbye = time.monotonic() + GOODBYE_S
                client.disconnect()
            if goodbye is not None and time.monotonic() >= goodbye:
                return
            if pending or found in readable:
                client.loop_read()
            if writable:
                client.loop_write()
            client.loop_misc()

    def _judge_version(self) -> None:
        if self._answered:
            self._silent_ends = 0
            return
        self._silent_ends += 1
        if self._silent_ends >= SILENT_ENDS:
            self._silent_ends = 0
            self._other_version("the broker hangs up without a word")

    def _other_version(self, why: str) -> None:
        five = self.version == MQTTProtocolVersion.MQTTv5
        self.version = MQTTProtocolVersion.MQTTv311 if five else MQTTProtocolVersion.MQTTv5
        log.info("%s: trying MQTT %s", why, self.spoken)

    @property
    def spoken(self) -> str:
        """The version of MQTT in use, in words."""
        return "5" if self.version == MQTTProtocolVersion.MQTTv5 else "3.1.1"

    def _make_client(self) -> Client:
        five = self.version == MQTTProtocolVersion.MQTTv5
        client = Client(
            MOST_KEPT,
            CallbackAPIVersion.VERSION2,
            client_id=f"vitalwire-agent-{self._agent_id.hex()}",
            clean_session=None if five else False,
            protocol=self.version,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._config.username is not None:
            file = self._config.password_file
            password = read_secret(file).decode("utf-8").strip() if file is not None else None
            client.username_pw_set(self._config.username, password)
        if self._config.tls:
            c = self._config
            context = tls.context(c.ca_file, c.cert_file, c.cert_key_file)
            client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_log = self._on_log
        # Our own count keeps to what the broker takes; paho's is fixed before the connection.
        client.max_inflight_messages_set(0)
        self.problem = self._said = None
        return client

    def _on_connect(self, client: paho.Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._answered = True
        if reason.is_failure:
            if reason.value in UNSUPPORTED:
                self._other_version("the broker does not speak it")
                self.problem = "the broker speaks another version of MQTT"
            else:
                self.problem = f"the broker refused the connection: {reason}"
            return
        self._limit = getattr(properties, "MaximumPacketSize", None)
        self._at_once = min(RECEIVE_MAXIMUM, getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM))
        topics = [(f"{self._topic}/receipt", 1)]
        if self.commanded is not None:
            topics.append((f"{self._topic}/command", 1))
        client.subscribe(topics)

    def _on_subscribe(self, client: paho.Client, _: Any, mid: int, reasons: Any, properties: Any) -> None:
        if reasons[0].is_failure:
            self.problem = (
                f"the broker does not let us read {self._topic}/receipt ({reasons[0]}): allow it to this user"
            )
            client.disconnect()
            return
        refused = len(reasons) > 1 and reasons[1].is_failure
        self.command_problem = (
            f"the broker does not let us read {self._topic}/command ({reasons[1]}): no remote command comes"
            if refused
            else None
        )
        self._backoff.succeeded()
        self._tell(self._connected)

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        what = self.commanded if message.topic.endswith("/command") else self._owner.received
        while what is not None and not self._stopping.is_set():
            if self._room.acquire(timeout=SELECT_S):
                return self._tell(self._take, what, bytes(message.payload))
        return None

    def _on_publish(self, client: paho.Client, _: Any, mid: int, reason: Any, properties: Any) -> None:
        self._unacknowledged -= 1
        refused = reason is not None and reason.is_failure
        self._forbidden = (
            f"the broker does not let us publish below {self._topic} ({reason}): allow it to this user"
            if refused
            else None
        )
        self._tell(self._published)

    def _on_log(self, client: paho.Client, _: Any, level: int, text: str) -> None:
        # paho tells of a TLS alert here only.
        if level == paho.MQTT_LOG_ERR and "SSL" in text:
            self._said = text

    # In the event loop's thread

    def _take(self, what: Callable[[bytes], None], payload: bytes) -> None:
        self._room.release()
        what(payload)

    def _connected(self) -> None:
        self.connected = True
        self._too_large = None
        self.problem = self._forbidden
        if self.problem is None:
            self._logged = None
            log.info("%s: connected, MQTT %s", self._config.url, self.spoken)
        self._owner.connected()

    def _published(self) -> None:
        if self.connected:
            self.problem = self._forbidden or self._too_large

    def _disconnected(self, problem: str) -> None:
        if problem != self._logged:
            log.warning("%s: %s; trying again until it works", self._config.url, problem)
            self._logged = problem
        self.connected = False
        self.problem = problem
        self._owner.disconnected()
