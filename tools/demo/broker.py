"""`vitalwire broker`: an MQTT 5 broker on loopback for the demo and the rigs (iotcore, which is rumqttd in a
wheel).

In the field, use Mosquitto or any other MQTT 5 broker: this one keeps its queues in memory.
"""

import logging
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NoReturn

import click

from edge_agent.extras import remedy

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60
CHECK_EVERY_S = 3
CHECK_TIMEOUT_S = 5
CHECK_FAILURES = 2
"""So many failed checks in a row mean that the broker is dead: one may be a host that was busy."""

# iotcore's own defaults are all interfaces, MQTT 3.1.1 and 20 KB a message.
_CONFIG = """
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 100
dynamic_filters = true
"""
MAX_PAYLOAD = 8 << 20


_held: list[socket.socket] = []


def free_port() -> int:
    """A loopback TCP port that nobody listens on.

    On Linux it stays bound as long as this process lives: no other process is given it, and no connection
    starts from it. Whoever listens there says SO_REUSEADDR, as servers do.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((LOOPBACK, 0))
    port: int = held.getsockname()[1]
    if sys.platform == "linux":
        _held.append(held)
    else:
        held.close()
    return port


def wait_until_listening(port: int, timeout_s: float) -> bool:
    """True when something accepts connections on that loopback port before the time is up."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection((LOOPBACK, port), timeout=0.5).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


# CONNECT (MQTT 5, clean start, no properties), PINGREQ, DISCONNECT.
_CLIENT_ID = b"vitalwire-broker-check"
_CONNECT = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + len(_CLIENT_ID).to_bytes(2, "big") + _CLIENT_ID
_CONNECT = bytes([0x10, len(_CONNECT)]) + _CONNECT
_PINGREQ, _PINGRESP, _DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"
_CONNACK = 0x20


def answers(port: int, timeout_s: float) -> bool:
    """Whether an MQTT 5 broker on that loopback port lets a client in, and answers its ping."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as link:
            link.settimeout(timeout_s)
            link.sendall(_CONNECT)
            kind, size = _exactly(link, 2)
            if kind != _CONNACK or not 2 <= size < 128 or _exactly(link, size)[1]:
                return False
            link.sendall(_PINGREQ)
            answered = _exactly(link, 2) == _PINGRESP
            link.sendall(_DISCONNECT)
            return answered
    except OSError:
        return False


def _exactly(link: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = link.recv(size - len(found))
        if not more:
            raise ConnectionError("closed")
        found += more
    return found


@click.command("broker", short_help="Run an embedded MQTT 5 broker on loopback.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="TCP port on 127.0.0.1.",
)
def command(port: int) -> None:
    """Run an embedded MQTT 5 broker on loopback until killed (needs the extra "demo").

    \b
    Example:
      vitalwire broker --port 1883
    """
    try:
        from iotcore.iotcore import IotCoreBroker
    except ImportError as e:
        raise click.ClickException(f"the embedded broker needs iotcore: {remedy('demo')}") from e
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="vitalwire-broker-") as folder:
        config = Path(folder) / "broker.toml"
        config.write_text(_CONFIG.format(host=LOOPBACK, port=port, max_payload=MAX_PAYLOAD), encoding="utf-8")
        broker = IotCoreBroker(config_path=str(config))
        try:
            broker.check_ports()
        except OSError as e:
            raise click.ClickException(f"port {port} is in use: {e}; choose another with --port") from e
    # Its tracing reports every packet as an error.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_guard, args=(port,), daemon=True).start()
    broker.run_forever()


def _guard(port: int) -> None:
    """Say when it listens; end the process when it no longer answers.

    rumqttd is threads of this process, and one that panics takes neither the others nor the process with it.
    """
    if not wait_until_listening(port, START_TIMEOUT_S):
        _end(f"the broker did not listen on port {port} within {START_TIMEOUT_S} s")
    print(f"listening on {LOOPBACK}:{port}", flush=True)
    failures = 0
    while failures < CHECK_FAILURES:
        time.sleep(CHECK_EVERY_S)
        failures = 0 if answers(port, CHECK_TIMEOUT_S) else failures + 1
    _end(f"the broker on port {port} no longer answers: start it again")


def _end(why: str) -> NoReturn:
    print(why, file=sys.stderr, flush=True)
    os._exit(1)
