"""How fast a node's backlog goes over TCP and over Bluetooth, with what is live before it.

    python -m tools.bench links [--over tcp,ble] [--minutes 20] [--share 50] [--json FILE]

The home kit that exists only in software: its firmware on the MicroPython VM stores for so long that nobody
is there, is switched off in order, and comes back with one link, on the wall's clock; the agent is the whole
agent. TCP is the loopback, found by mDNS; Bluetooth is bleak over a link layer of software, with an ESP32's
buffers and six packets a connection event of 15 ms (boards/virtual/ble). On an ESP32 its own processor sets
the pace: the VM is some 55 times as fast.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import serial

from boards.virtual.air import AccessPoint
from boards.virtual.ble.radio import Radio
from boards.virtual.rig import RigError, VirtualNode
from edge_agent import config, keys
from edge_agent.config import LinkConfig
from edge_agent.nodes import pairing
from edge_agent.nodes.peers import Peers
from edge_agent.ops import status
from protocol import improv
from tools import build
from tools.bench import report
from tools.bench.agent_rig import Failed, Part
from tools.demo.processes import Together

LINKS = ("tcp", "ble")
HOME = AccessPoint("Flat 7", "correct horse battery")
# The world runs so much faster while the backlog is made.
SPEED = 16.0
STEP_S = 180.0
POLL_S = 0.1
# A node goes on making frames: of what is live, so many may be under way.
UNDER_WAY = 8
AGENT = '[agent]\nstate_dir = {state}\n[tcp]\nlisten = "127.0.0.1:0"\nmdns = "always"\n{more}'


class Seen(NamedTuple):
    """The agent's word at one moment: frames made, as far as it knows, and stored; bytes of the link's."""

    ms: int
    produced: int
    stored: int
    nbytes: int


class Scene(Together):
    """A kit, an agent that it is paired with, and the one link between them."""

    def __init__(self, folder: Path, tree: Path, over: str, share: int) -> None:
        super().__init__()
        self.folder, self.tree, self.over, self.share = folder, tree, over, share

    def _start(self) -> None:
        self.radio = self._exit.enter_context(Radio())
        self.chip = self.radio.peripheral()
        self.config = self.folder / "agent.toml"
        state = json.dumps(str(self.folder / "agent"))
        more = f"per_node_frames_s = {self.share}\n" + ("[ble]\n" if self.over == "ble" else "")
        self.config.write_text(AGENT.format(state=state, more=more))

    @contextmanager
    def node(self, speed: float) -> Iterator[VirtualNode]:
        """The kit, switched on; at the end it is switched off in order."""
        with VirtualNode(
            self.tree,
            self.folder / "flash",
            speed=speed,
            log=self.folder / "node.log",
            ble=self.chip.path,
        ) as node:
            yield node
            node.stop()

    def backlog(self, minutes: float) -> None:
        """The kit is given its network and its agent over the cable, and then left alone."""
        self.chip.away(True)
        with self.node(SPEED) as node:
            if self.over == "tcp":
                node.air.set([HOME])
                _give(node)
            identity = keys.create(self.folder / "agent" / "agent.key", "agent")
            Peers(config.load(self.config).peers).add(pairing.exchange(LinkConfig(node.port), identity))
            node.unplug()
            node.air.set([])
            ends = node.world_s() + 60 * minutes
            until(lambda: node.world_s() >= ends, "the backlog is made", 60 * minutes)

    def drained(self) -> list[Seen]:
        """The kit comes back, and sends until the agent has everything: what was seen on the way."""
        command = [sys.executable, "-m"]
        if self.over == "ble":
            command += ["boards.virtual.ble.with_radio", self.radio.hci]
        command += ["tools.cli", "agent", "run", "--config", str(self.config)]
        agent = Part("agent", command, self.folder / "agent.log")
        seen: list[Seen] = []

        def done() -> bool:
            agent.alive()
            now = self._seen()
            if now is not None and now.stored and (not seen or now.ms > seen[-1].ms):
                seen.append(now)
            return bool(seen) and seen[-1].produced - seen[-1].stored <= UNDER_WAY

        try:
            with self.node(1.0) as node:
                node.unplug()
                self.chip.away(self.over != "ble")
                node.air.set([HOME] if self.over == "tcp" else [])
                until(done, "the agent has everything", STEP_S)
        finally:
            agent.stop()
        return seen

    def _seen(self) -> Seen | None:
        said = status.read(self.folder / "agent" / "status.json")
        if not said or not said["nodes"] or not said.get(self.over):
            return None
        return Seen(
            said["written_ms"],
            said["nodes"][0]["produced"],
            said["store"]["stored_frames"],
            said[self.over]["bytes_in"],
        )


def _give(node: VirtualNode) -> None:
    """The network, as an Improv client at the cable gives it."""
    texts = [HOME.ssid.encode(), HOME.password.encode()]
    body = b"".join(bytes((len(text),)) + text for text in texts)
    command = bytes((improv.COMMAND_SETTINGS, len(body))) + body
    finder = improv.Finder()
    with serial.Serial(node.port, timeout=POLL_S) as port:

        def joined() -> bool:
            found = finder.feed(port.read(4096))[0]
            return any(kind == improv.TYPE_RESULT for kind, _ in found)

        port.write(improv.packet(improv.TYPE_COMMAND, command) + b"\n")
        until(joined, "the kit is in its network", STEP_S)


def until(fact: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait. Failed when it does not come about."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_S)


def rates(seen: list[Seen]) -> dict[str, Any]:
    """Frames, and per second, from the first moment at which some had come to the last. Failed: there was one
    moment only.
    """
    first, last = seen[0], seen[-1]
    took_s = (last.ms - first.ms) / 1000
    if took_s <= 0:
        raise Failed("too few frames for a rate: more --minutes")
    frames = last.stored - first.stored
    return {
        "frames": frames,
        "seconds": round(took_s, 1),
        "frames_per_s": round(frames / took_s, 1),
        "bytes_per_s": round((last.nbytes - first.nbytes) / took_s),
        "bytes_per_frame": round((last.nbytes - first.nbytes) / frames) if frames else None,
        "left_over": last.produced - last.stored,
    }


def measure(over: str, minutes: float, tree: Path, share: int) -> dict[str, Any]:
    """One link."""
    folder = tempfile.TemporaryDirectory(prefix="vitalwire-bench-")
    with folder as name, Scene(Path(name), tree, over, share) as scene:
        scene.backlog(minutes)
        found = rates(scene.drained())
    return {**found, "times_real_time": round(60 * minutes / found["seconds"])}


def main(argv: "list[str]") -> int:
    """The command; 1 when something that is needed is missing or goes wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench links",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--over", default=",".join(LINKS), metavar="LINKS", help="which: tcp, ble or both")
    parser.add_argument("--minutes", type=report.seconds, default=20.0, help="how much was stored (20)")
    share = "frames a second that the agent takes of a node over TCP (50, as by default)"
    parser.add_argument("--share", type=int, default=50, metavar="FRAMES", help=share)
    report.add_option(parser)
    options = parser.parse_args(argv)
    wanted = options.over.split(",")
    if not set(wanted) <= set(LINKS):
        parser.error(f"--over {options.over}: there are {', '.join(LINKS)}")
    if options.share < 1:
        parser.error(f"--share {options.share}: a node sends some frames")
    found: dict[str, Any] = {}
    print(report.machine_line())
    try:
        with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as name:
            tree = Path(name) / "kit"
            build.write(build.make("virtual_kit"), tree)
            for over in wanted:
                found[over] = measure(over, options.minutes, tree, options.share)
                print(line(over, found[over]))
    except (Failed, RigError, build.BuildError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    report.write(options.json, {"minutes": options.minutes, "share": options.share, **found})
    return 0


def line(over: str, found: dict[str, Any]) -> str:
    """One link in words."""
    return (
        f"over {over}: {found['frames']:,} frames in {found['seconds']:g} s:"
        f" {found['frames_per_s']:g} a second, {found['bytes_per_s']:,} bytes a second,"
        f" {found['times_real_time']} times real time"
    )
