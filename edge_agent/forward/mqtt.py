"""The MQTT outlet (paho-mqtt): MQTT 5, or 3.1.1 where the broker speaks nothing newer; QoS 1; reconnects for
ever.

Every connection has a client of its own, because what counts is the receipt: paho's memory of unconfirmed
publications would only send twice what the forwarder sends again anyhow. The broker keeps the session (for
receipts that come while we are away). paho's callbacks run in the connection's thread and hand over to the
event loop.
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
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.backoff import Backoff
from edge_agent.config import MqttConfig

log = logging.getLogger("vitalwire.mqtt")

KEEP_ALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
SELECT_S = 1.0
GOODBYE_S = 1.0
SESSION_EXPIRY_S = 7 * 24 * 3600
# CONNACK reason codes (MQTT 5.0 §3.2.2.2) that mean "not in this version of the protocol".
UNSUPPORTED = (0x84,)
# A broker that knows no MQTT 5 may also just hang up. After so many connections that end before a CONNACK,
# the other version has its turn.
SILENT_ENDS = 2


class OutletOwner(Protocol):
    """Who is told what happens; always in the event loop's thread."""

    def connected(self) -> None:
        """Connected and subscribed to our receipts."""

    def disconnected(self) -> None:
        """The connection is gone, or could not be made; see `problem`."""

    def received(self, message: bytes) -> None:
        """A message on our receipt topic."""


class MqttOutlet:
    """One broker. `problem` says why there is no connection; `version` is the protocol's in use."""

    def __init__(
        self, config: MqttConfig, agent_id: bytes, owner: OutletOwner, backoff: Backoff | None = None
    ) -> None:
        self.connected = False
        self.problem: str | None = None
        self.version = MQTTProtocolVersion.MQTTv5
        self.attempts = 0
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
        self._logged: str | None = None
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
            await asyncio.to_thread(self._thread.join, CONNECT_TIMEOUT_S)

    def publish(self, message: bytes) -> None:
        """Publish a sealed batch, at least once."""
        self._publish("batch", message)

    def ask(self, message: bytes) -> None:
        """Publish a question for the collector's head."""
        self._publish("ask", message)

    def _publish(self, kind: str, message: bytes) -> None:
        if not self.connected:
            return
        if self._limit is not None and len(message) + 64 > self._limit:
            self.problem = (
                f"the broker takes {self._limit} bytes at most, a batch has {len(message)}: raise its limit"
            )
            return
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
            except OSError as e:
                problem = str(e) or type(e).__name__
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
        try:
            self._serve(client)
        finally:
            # Whatever became of the connection, paho's socket must not outlive it.
            found = client.socket()
            if found is not None:
                found.close()
        if self.problem is not None:
            return self.problem
        return "the connection was lost" if self._answered else "the broker hung up before it answered"

    def _serve(self, client: paho.Client) -> None:
        """Reads and writes until the connection ends.

        paho's own loops write from whichever thread publishes, while another reads; here one thread does all.
        """
        goodbye = None
        while (found := client.socket()) is not None:
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
            while self._outbox:
                client.publish(*self._outbox.popleft(), qos=1)
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

    def _make_client(self) -> paho.Client:
        five = self.version == MQTTProtocolVersion.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"vitalwire-agent-{self._agent_id.hex()}",
            clean_session=None if five else False,
            protocol=self.version,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._config.username is not None:
            file = self._config.password_file
            password = file.read_text(encoding="utf-8").strip() if file is not None else None
            client.username_pw_set(self._config.username, password)
        if self._config.tls:
            ca_file = None if self._config.ca_file is None else str(self._config.ca_file)
            context = ssl.create_default_context(cafile=ca_file)
            client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self.problem = None
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
        client.subscribe(f"{self._topic}/receipt", qos=1)

    def _on_subscribe(self, client: paho.Client, _: Any, mid: int, reasons: Any, properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.problem = f"the broker does not let us read {self._topic}/receipt: {reasons[0]}"
            client.disconnect()
            return
        self._backoff.succeeded()
        self._tell(self._connected)

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        self._tell(self._owner.received, bytes(message.payload))

    # In the event loop's thread

    def _connected(self) -> None:
        self.connected = True
        self.problem = self._logged = None
        log.info("%s: connected, MQTT %s", self._config.url, self.spoken)
        self._owner.connected()

    def _disconnected(self, problem: str) -> None:
        if problem != self._logged:
            log.warning("%s: %s; trying again until it works", self._config.url, problem)
            self._logged = problem
        self.connected = False
        self.problem = problem
        self._owner.disconnected()
