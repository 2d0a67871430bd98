"""CPU of the agent's own classes a frame, stage by stage, from the port's bytes to the encrypted batch."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.custody.custody import Custody
from edge_agent.keys import PublicKeys
from edge_agent.nodes.views import NodeView, item_of
from edge_agent.store.opening import open_store
from edge_agent.store.store import Hello
from protocol import batch, cobs, crypto, frames, messages, seal, waveform
from protocol import session_events as ev
from protocol.identity import Identity, generate_steps
from protocol.session_agent import AgentSession

T = TypeVar("T")

FRAME_BYTES = 200
COMMIT_FRAMES = 100
OVERHEAD = 30  # of a wave frame's other fields
READ_BYTES = 4096
BATCH_BYTES = 256 * 1024
NOW_MS = 1_700_000_000_000


class _Stopwatch:
    """CPU time by stage, of all threads."""

    def __init__(self) -> None:
        self.ns: dict[str, int] = {}

    def time(self, stage: str, work: "Callable[[], T]") -> "T":
        began = time.process_time_ns()
        result = work()
        self.ns[stage] = self.ns.get(stage, 0) + time.process_time_ns() - began
        return result


def measure(count: int) -> "dict[str, Any]":
    """`us_per_frame` by stage and in total, and the conditions; `count` frames of one node."""
    node, agent, collector = (crypto.run(generate_steps(os.urandom(64))) for _ in range(3))
    known = node.public()
    session, wire = greeted(node, agent, [wave_frame(seq) for seq in range(count)])
    watch = _Stopwatch()
    view = NodeView(node.id)
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        store, _ = open_store(Path(folder) / "agent.db", agent.id, NOW_MS)
        store.commit([Hello(node.id, *known, 1, 1)])
        custody = Custody(store, agent, PublicKeys(*collector.public()), BATCH_BYTES, lambda: NOW_MS)
        nonce = batch.parse_ask(custody.question())[1]
        custody.take(batch.make_head_statement(collector, agent.id, None, 0, 0, NOW_MS, nonce), "mqtt")
        events: list[Any] = []
        for at in range(0, len(wire), READ_BYTES):
            piece = wire[at : at + READ_BYTES]
            events += watch.time("unstuff, open, authenticate", lambda piece=piece: session.feed(piece, 0))
        arrived = [event for event in events if isinstance(event, ev.FrameIn)]
        assert len(arrived) == count

        def checked(event: ev.FrameIn) -> Any:
            item, frame = item_of(event, NOW_MS)
            view.said(event.boot_id, event.seq, frame, NOW_MS * 1000)
            return item

        items = watch.time("decode, check, note", lambda: [checked(event) for event in arrived])
        for at in range(0, count, COMMIT_FRAMES):
            watch.time("store", lambda at=at: store.commit(items[at : at + COMMIT_FRAMES]))
        batches: list[int] = []
        while (made := watch.time("sign and chain", custody.make)) is not None:
            batches.append(made[0])
        for number in batches:
            watch.time("encrypt", lambda number=number: custody.message("mqtt", number))
        store.close()
    stages = {stage: round(ns / count / 1000, 1) for stage, ns in watch.ns.items()}
    stages["all"] = round(sum(watch.ns.values()) / count / 1000, 1)
    return {
        "frames": count,
        "frame_bytes": FRAME_BYTES,
        "commit_frames": COMMIT_FRAMES,
        "batch_frames": round(count / len(batches)),
        "us_per_frame": stages,
    }


def wave_frame(seq: int) -> bytes:
    """The plaintext of a wave frame of FRAME_BYTES."""
    data = os.urandom(FRAME_BYTES - OVERHEAD)
    fields = {1: 0, 2: 250, 3: 4_000_000, 4: 3052, 5: waveform.CODEC, 6: data, 15: 2}
    return frames.pack(frames.KIND_WAVE, 1_000_000 * (seq + 1), fields)


def greeted(node: Identity, agent: Identity, plaintexts: "list[bytes]") -> "tuple[AgentSession, bytes]":
    """An agent's session that has a node's hello, and these frames of the node as they come, framed."""
    known = node.public()
    hello, wire = captured(node, agent, plaintexts)
    session = AgentSession(agent, lambda _: known, lambda _: None, os.urandom)
    session.feed(hello, 0)
    return session, wire


def captured(node: Identity, agent: Identity, plaintexts: "list[bytes]") -> "tuple[bytes, bytes]":
    """What a node sends: its hello, and these frames, framed."""
    boot = bytes(3) + b"\x01" + os.urandom(8)
    keys = seal.SealingKeys(os.urandom(16), seal.BootKeys(bytes(16), boot))
    wrapping = seal.wrap_header_steps(keys.K, boot, node, agent.id, agent.x_pub, os.urandom(32))
    enc, wrapped = crypto.run(wrapping)
    count = len(plaintexts)
    boots = [[boot, [[agent.id, enc, wrapped]], count, [[0, count]]]]
    body = messages.hello_body(messages.VERSION, node.id, os.urandom(16), 1, boots)
    out = bytearray()
    for seq, plaintext in enumerate(plaintexts):
        out += cobs.encode(messages.data(0, keys.seal(seq, plaintext)))
    return cobs.encode(messages.hello(body, keys.hello_tag(body))), bytes(out)
