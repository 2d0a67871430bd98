"""What goes to a node when nothing else waits for it: messages of updates."""

from typing import Any, Protocol

from edge_agent.links.base import Link
from edge_agent.store.items import Frame, Write
from protocol import frames
from protocol import session_events as ev
from protocol.session_agent import AgentSession


class Spare(Protocol):
    """What goes to nodes when nothing else waits (edge_agent/updates/courses.py)."""

    def next(
        self, node: bytes, connection: tuple[int, int], known_bytes_s: int | None, passed_bytes: int
    ) -> dict[int, Any] | None:
        """The body of an update message, or None."""
        ...

    def sent(self, node: bytes, size: int) -> None:
        """It left, in so many bytes."""
        ...

    def backlog(self, node: bytes) -> None:
        """A frame has come that was made before its connection."""
        ...

    def frame(self, node: bytes, boot: bytes, seq: int, kind: int, body: dict[int, Any]) -> Write | None:
        """A sound frame has come; what is to be stored along with it."""
        ...


def message(updates: Spare, hello: ev.HelloAccepted, session: AgentSession, link: Link, now_ms: int) -> bytes:
    """The framed bytes of the message of an update that is due on this connection; b"": none now."""
    connection = (int.from_bytes(hello.boots[0][0][:4], "big"), hello.conn)
    known_bytes_s = getattr(link, "bytes_s", None)
    body = updates.next(hello.node_id, connection, known_bytes_s, link.bytes_in + link.bytes_out)
    if body is None:
        return b""
    session.order(frames.KIND_UPDATE, body)
    data = session.pull(now_ms)
    if data:
        updates.sent(hello.node_id, len(data))
    return data


def heard(updates: Spare, event: ev.FrameIn, frame: tuple[int, int, Any] | None, item: Frame) -> Frame:
    """Tell of a frame; the item as it is to be stored. `frame`: (kind, t_us, body or None: not decoded)."""
    if event.past:
        updates.backlog(event.node_id)
    if frame is None or frame[2] is None:
        return item
    word = updates.frame(event.node_id, event.boot_id, event.seq, frame[0], frame[2])
    return item if word is None else item._replace(along=(*item.along, word))
