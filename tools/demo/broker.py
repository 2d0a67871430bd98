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

import click

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 15

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


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


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


@click.command("broker")
@click.option("--port", type=int, default=0, show_default="a free one", help="TCP port on 127.0.0.1.")
def command(port: int) -> None:
    """Run an embedded MQTT 5 broker on loopback until killed (needs the extra "demo")."""
    try:
        from iotcore.iotcore import IotCoreBroker
    except ImportError as e:
        raise click.ClickException('the embedded broker needs iotcore: pip install "vitalwire[demo]"') from e
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
    threading.Thread(target=_announce, args=(port,), daemon=True).start()
    broker.run_forever()


def _announce(port: int) -> None:
    if not wait_until_listening(port, START_TIMEOUT_S):
        print(f"the broker did not listen on port {port} within {START_TIMEOUT_S} s", file=sys.stderr)
        os._exit(1)
    print(f"listening on {LOOPBACK}:{port}", flush=True)
