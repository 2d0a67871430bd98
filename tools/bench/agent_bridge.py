"""The peer: a persistent Mosquitto that bridges to another one, with the agent's load as MQTT publications.

QoS 1 throughout, `autosave_interval 1`: what is queued is written once a second (without
fsync; docs/benchmarks.md says what a kill costs). Each virtual node is a client of its own and publishes the
plaintexts that the nodes seal, in the same rhythm. CPU is that of the bridging process.
"""

import tempfile
from pathlib import Path
from typing import Any

from tools.bench.agent_rig import Failed, Nodes, Part, mosquitto
from tools.demo.broker import free_port

EDGE = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/edge/
autosave_interval 1
max_queued_messages 0
connection up
address 127.0.0.1:{far}
topic # out 1
cleansession false
bridge_protocol_version mqttv311
"""
FAR = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
"""


class _Bridge:
    """What Nodes needs of a rig."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.parts: list[Part] = []
        self.port = free_port()
        self.seeds = [bytes(64)] * nodes

    def start(self) -> "Part | None":
        """The bridging Mosquitto; None when there is no Mosquitto here."""
        (self.folder / "edge").mkdir()
        far = free_port()
        parts = [
            mosquitto(self.folder, "far", FAR.format(port=far), far),
            mosquitto(
                self.folder, "edge", EDGE.format(port=self.port, folder=self.folder, far=far), self.port
            ),
        ]
        self.parts += [part for part in parts if part is not None]
        return parts[1]


def bridge(nodes: int, rate: float, seconds: float, agent: "dict[str, Any]") -> "dict[str, Any]":
    """{"mosquitto_bridge": CPU and rates, and how many times as much the agent takes}, or why not."""
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as name:
        rig = _Bridge(Path(name), nodes)
        try:
            edge = rig.start()
            if edge is None:
                return {"mosquitto_bridge": None, "why": "no mosquitto here: apt-get install mosquitto"}
            crowd = Nodes(rig, rate, "tools.bench.agent_publishers")
            crowd.heard("live")
            crowd.say("measure 3")
            crowd.heard("measured")
            crowd.say(f"measure {seconds}")
            crowd.heard("measuring")
            before = edge.cpu_s()
            found = crowd.heard("measured")
            spent = edge.cpu_s() - before
            rss = edge.memory_mb()
            crowd.say("stop")
        finally:
            for part in reversed(rig.parts):
                part.stop()
    if not found["acked"]:
        raise Failed("the bridge acknowledged nothing")
    us = spent / found["acked"] * 1e6
    ack = found["ack_ms"]
    return {
        "mosquitto_bridge": {
            "cpu_us_per_message": round(us, 1),
            "messages_per_s": round(found["acked"] / found["seconds"], 1),
            "ack_ms": {"p50": ack[0], "p99": ack[1]},
            "rss_mb": round(rss, 1),
            "ratio": round(agent["cpu_us_per_frame"] / us, 2) if us else None,
        }
    }
