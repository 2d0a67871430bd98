"""A node without its world, on the 64-bit VM and on the 32-bit one: chips and time are simulated inside the
VM, so that its processor time is the node's own, from caches that nobody else has filled.
"""

import contextlib
import os
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from boards.virtual.rig import HEAP, SHIMS, RigError, find_micropython
from protocol import crypto, frames
from protocol import session_events as ev
from protocol.identity import generate_steps
from protocol.identity import node_id as party_id
from protocol.session_agent import AgentSession
from tools import build
from tools.bench import cpu_clock, node_sections
from tools.bench.keys import vm32

HERE = Path(__file__).parent
SCRIPT = HERE / "alone" / "alone_node.py"
BOARD = "esp32_bridge"
# What an ESP32 without PSRAM leaves a node, and what the chips take of it here, and what watches.
HEAP32_KB = 164
CHIPS_KB = 11
WATCH_KB = 10
PATIENCE_S = 600
SECTIONS = "NODE_SECTIONS"
RUNS = {"agent": "with an agent", "full": "outbox full"}


def measure(seconds: float) -> "dict[str, Any]":
    """By VM ("64 bit", "32 bit" where there is one) and by whether there is an "agent" or an outbox that has
    become "full": cpu_ms_per_s, heap_free, heap_free_min, and `sections` as node_sections.report, or `why`
    there are none. RigError, BuildError.
    """
    seconds = max(1, int(seconds))
    found: dict[str, Any] = {}
    small = vm32()
    built = build.make(BOARD)
    outbox = build.read_board(BOARD).settings["node"]["outbox_bytes"]
    with tempfile.TemporaryDirectory(prefix="vitalwire-alone-") as name:
        folder = Path(name)
        build.write(built, folder / "tree")
        for title, vm, heap in (("64 bit", find_micropython(), HEAP), ("32 bit", small, "")):
            if vm is None:
                continue
            own = folder / title.replace(" ", "")
            own.mkdir()
            found[title] = {
                how: _both(own / how, folder / "tree", vm, heap, outbox, seconds, how) for how in RUNS
            }
    return found


def _both(
    folder: Path, tree: Path, vm: str, heap: str, outbox: int, seconds: int, how: str
) -> "dict[str, Any]":
    """One run for what it costs, and one that is watched, which costs more."""
    folder.mkdir()
    found = one_run(folder / "plain", tree, vm, heap, outbox, seconds, how, None)
    try:
        with_clock = cpu_clock.vm_with_clock(vm, folder, ticks=True)
    except cpu_clock.NoClock as e:
        found["why"] = str(e)
        return found
    noted = folder / "sections"
    one_run(folder / "watched", tree, with_clock, heap, outbox, seconds, how, noted)
    found["sections"] = node_sections.report(noted.read_bytes(), seconds)
    return found


def one_run(
    flash: Path, tree: Path, vm: str, heap: str, outbox: int, seconds: int, how: str, noted: "Path | None"
) -> "dict[str, Any]":
    """A node of `tree` on `vm`, with `heap` ("": an ESP32's), its turns in the file `noted`: cpu_ms_per_s,
    heap_free, heap_free_min. RigError.
    """
    flash.mkdir()
    environment = dict(os.environ, MICROPYPATH=f"{SCRIPT.parent}:{tree}:{SHIMS}:{HERE}:.frozen")
    environment.pop(SECTIONS, None)
    if noted is not None:
        environment[SECTIONS] = str(noted)
    agent = "agent" if how == "agent" else "nobody"
    heap = heap or f"{HEAP32_KB + CHIPS_KB + (WATCH_KB if noted is not None else 0)}K"
    command = [vm, "-X", f"heapsize={heap}", str(SCRIPT), str(flash), str(outbox), str(int(seconds)), agent]
    with (
        open(flash / "stderr", "w+b") as said,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        try:
            served = _serve(process) if agent == "agent" else 1
            process.wait(PATIENCE_S)
        finally:
            process.kill()
        said.seek(0)
        text = said.read().decode(errors="replace")
    words = text.split()
    if process.returncode or words[:1] != ["alone"]:
        raise RigError(f"a node alone ended with status {process.returncode}: {text.strip()[-400:]}")
    if not served:
        raise RigError("a node alone had nothing for its agent")
    return {
        "cpu_ms_per_s": round(int(words[1]) / 1000 / seconds, 2),
        "heap_free": int(words[2]),
        "heap_free_min": int(words[3]),
    }


def _serve(process: "subprocess.Popen[bytes]") -> int:
    """Be the agent of a node until it ends; how many frames it has acknowledged."""
    assert process.stdin is not None and process.stdout is not None
    known: dict[bytes, tuple[bytes, bytes]] = {}
    last: dict[bytes, tuple[int, int]] = {}
    session = AgentSession(crypto.run(generate_steps(os.urandom(64))), known.get, last.get, os.urandom)
    asked, acked = False, 0
    while len(head := process.stdout.read(6)) == 6:
        now_ms, n = struct.unpack("<IH", head)
        for event in session.feed(process.stdout.read(n), now_ms):
            if isinstance(event, ev.Announced) and event.ed_pub and not asked:
                asked = True
                session.request_pairing(os.urandom(16))
            elif isinstance(event, ev.PairReply) and event.signature_ok:
                known[party_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
            elif isinstance(event, ev.HelloAccepted):
                last[event.node_id] = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
                session.ping()
            elif isinstance(event, ev.FrameIn):
                session.ack(event.boot_id, [(event.seq, 1)])
                acked += frames.unpack(event.plaintext)[0] == frames.KIND_WAVE
        answer = session.pull(now_ms)
        with contextlib.suppress(BrokenPipeError):
            os.write(process.stdin.fileno(), struct.pack("<H", len(answer)) + answer)
    return acked
