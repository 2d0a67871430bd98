"""An agent of one test: pairs with the node, acknowledges what comes, and keeps it."""

import os
from binascii import crc32
from collections.abc import Callable
from contextlib import closing
from typing import Any

from boards.virtual.rig import VirtualNode
from hil_tests.duts import NodeDut, one_identity
from hil_tests.stack import PATIENCE_S
from protocol import cbor, frames, session_events, waveform
from protocol.identity import node_id
from protocol.session_agent import AgentSession

Frame = tuple[int, int, Any]
REGULAR = (frames.KIND_WAVE, frames.KIND_VITALS, frames.KIND_STATUS, frames.KIND_ATTEST)


class Listener:
    """`frames`: (kind, t_us, body) of each frame once, in the order of their coming; of all boots."""

    def __init__(self, dut: NodeDut) -> None:
        self.frames: list[Frame] = []
        self._dut = dut
        self._seen: set[tuple[bytes, int]] = set()
        self._known: dict[bytes, tuple[bytes, bytes]] = {}
        self._session = AgentSession(
            one_identity(os.urandom(64)), self._known.get, lambda _: None, os.urandom
        )
        self._session.request_pairing(os.urandom(16))

    def until(self, what: str, fact: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
        """Listen until `fact` gives something true, and give that; else say what did not happen."""
        found = fact()
        if found:
            return found
        # One conversation: a pair reply that comes between two has nobody who hears it, and comes once.
        with closing(self._dut.converse(self._session, timeout_s)) as events:
            for event in events:
                self._take(event)
                found = fact()
                if found:
                    return found
        told = [frame for frame in self.frames if frame[0] not in REGULAR]
        vitals = self.of(frames.KIND_VITALS)[-1:]
        raise AssertionError(f"not within {timeout_s:g} s: {what}; it told {told}, and its newest {vitals}")

    def _take(self, event: Any) -> None:
        if isinstance(event, session_events.PairReply):
            self._known[node_id(event.ed_pub, event.x_pub)] = (event.ed_pub, event.x_pub)
            self._session.solicit()
        elif isinstance(event, session_events.FrameIn) and (event.boot_id, event.seq) not in self._seen:
            self._seen.add((event.boot_id, event.seq))
            self.frames.append(frames.unpack(event.plaintext))

    def of(self, kind: int, since: int = 0) -> list[Frame]:
        """The frames of a kind, from the one on that stands at `since`."""
        return [frame for frame in self.frames[since:] if frame[0] == kind]

    def event(self, code: int, since: int = 0, **wanted: int) -> Any:
        """The body of the first event of that code, whose `priority` and `state` are as wanted; else None."""
        keys = {"priority": frames.EVENT_PRIORITY, "state": frames.EVENT_STATE}
        for _, _, body in self.of(frames.KIND_EVENT, since):
            right = [body.get(keys[name], 0) == value for name, value in wanted.items()]
            if body[frames.EVENT_CODE] == code and all(right):
                return body
        return None

    def vitals(self, since: int, fact: Callable[[dict[int, int]], Any]) -> bool:
        """Whether the newest reading from the frame at `since` on is as wanted."""
        found = self.of(frames.KIND_VITALS, since)
        return bool(found and fact(found[-1][2]))

    def wave(self, channel: int, since: int = 0) -> list[dict[int, Any]]:
        """The bodies of the waveforms of a channel."""
        bodies = [body for _, _, body in self.of(frames.KIND_WAVE, since)]
        return [body for body in bodies if body[frames.WAVE_CHANNEL] == channel]


def decoded(bodies: list[dict[int, Any]]) -> list[int]:
    """The samples of these waveforms, one after the other."""
    samples: list[int] = []
    for body in bodies:
        samples += waveform.decode(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
    return samples


def watch_mode(node: VirtualNode) -> None:
    """Put the node's settings on its flash as an order would have: it watches somebody. Before its boot."""
    kept = {
        frames.SET_MAINS_HZ: 50,
        frames.SET_MODE: frames.MODE_WATCH,
        frames.SET_LIMITS: [],
        frames.SET_NOT_SENT: [],
        frames.SET_CUFF_SIZE: frames.CUFF_MEDIUM,
    }
    payload = cbor.dumps(kept)
    folder = node.flash_dir / "state"
    folder.mkdir(parents=True)
    (folder / "settings").write_bytes(b"VWR1" + crc32(payload).to_bytes(4, "big") + payload)
