"""What is being sent to nodes now: when a message of an update may go, and how fast.

Nothing of an update goes while anything else waits for its node (the session asks for it last), while the
node has an alarm, brings what it kept while it was away, or runs low on its battery, nor while the agent
itself cannot keep up. What does go is a share of what the link carries.
"""

from collections.abc import Callable
from typing import Any

from edge_agent.config import UpdatesConfig
from edge_agent.nodes.flow import NORMAL
from edge_agent.nodes.hub import Hub
from edge_agent.updates.pacing import Bucket, Meter
from edge_agent.updates.transfer import APPLYING, Transfer

# After the last frame of a backlog.
BACKLOG_MS = 3_000
# How fast a link without a known speed is, is looked at so often.
SAMPLE_MS = 1_000
# An agent that was busy for longer has lost that time; the link was idle, and it is not made up for.
MOST_PASSED_MS = 1_000

Connection = tuple[int, int]
"""Boot counter and connection number."""


class Course:
    """One update to one node. `stated`: that it is offered is durable; `may_apply`: so is that it may be
    applied; `hold`: why nothing goes just now, "" when it may; `held_ms`: since when, None when it may;
    `away_ms`: since when there is no live connection, None while there is one.
    """

    def __init__(self, rollout: str, transfer: Transfer, now_ms: int) -> None:
        self.rollout = rollout
        self.transfer = transfer
        self.stated = False
        self.may_apply = False
        self.hold = ""
        self.held_ms: int | None = None
        self.away_ms: int | None = None
        self.begun_ms = now_ms
        self.held_at_first: int | None = None
        self.connection: Connection | None = None
        self.meter = Meter()
        self.bucket: Bucket | None = None
        self.tick_ms = now_ms
        self._carried = 0.0
        self._sample: tuple[int, int] | None = None

    def rate_bytes_s(self, now_ms: int) -> float:
        """Bytes of the update that the node took a second, since it was begun."""
        if self.held_at_first is None or now_ms <= self.begun_ms:
            return 0.0
        return max(0, self.transfer.held_bytes - self.held_at_first) * 1000 / (now_ms - self.begun_ms)

    def carries(self, known: int | None, passed_bytes: int, now_ms: int, least: int) -> float:
        """What the link carries, in bytes a second: as its speed says, or, without one, the most that it was
        seen to carry within a second, and `least` before that.
        """
        if known is not None:
            return known
        if self._sample is None or passed_bytes < self._sample[1]:
            self._sample = (now_ms, passed_bytes)
        elif now_ms - self._sample[0] >= SAMPLE_MS:
            seen = (passed_bytes - self._sample[1]) * 1000 / (now_ms - self._sample[0])
            self._carried = max(self._carried, seen)
            self._sample = (now_ms, passed_bytes)
        return max(self._carried, least)


class Courses:
    """By node. `hub.updates` is one of these: sessions ask it for what is to be sent when nothing else is."""

    def __init__(self, hub: Hub, config: UpdatesConfig) -> None:
        self.open: dict[bytes, Course] = {}
        self.bytes = 0
        # Of all courses, also those that are over.
        self.meter = Meter()
        self._hub = hub
        self._config = config
        self._past_ms: dict[bytes, int] = {}
        self.heard: Callable[[bytes, bytes, int, int, dict[int, Any]], Any] | None = None

    def begin(self, node: bytes, rollout: str, transfer: Transfer) -> Course:
        """Send that, once `stated` is set."""
        course = self.open[node] = Course(rollout, transfer, self._hub.now_ms())
        return course

    def end(self, node: bytes) -> None:
        """Send nothing more of it."""
        self.open.pop(node, None)

    def tick(self) -> None:
        """Give those their turn whose time has come; a few times a second from the event loop."""
        now_ms = self._hub.now_ms()
        for node, course in list(self.open.items()):
            session = self._hub.live.get(node)
            if session is None:
                course.away_ms = now_ms if course.away_ms is None else course.away_ms
                course.tick_ms = now_ms
                continue
            course.away_ms = None
            course.hold = self.hold(node)
            if not course.hold:
                course.held_ms = None
            elif course.held_ms is None:
                course.held_ms = now_ms
            wait_ms = 0 if course.bucket is None else course.bucket.ready_in_ms(now_ms)
            if course.stated and not course.hold and not wait_ms and not course.transfer.due_ms(now_ms):
                session.pump()

    # What sessions ask and tell

    def next(
        self, node: bytes, connection: Connection, known_bytes_s: int | None, passed_bytes: int
    ) -> dict[int, Any] | None:
        """The body of an update message for the node that lives on that connection, or None: none now.

        `known_bytes_s`: the link's speed, if it has one; `passed_bytes`: what it has carried so far.
        """
        course = self.open.get(node)
        if course is None or not course.stated:
            return None
        now_ms = self._hub.now_ms()
        carries = course.carries(known_bytes_s, passed_bytes, now_ms, self._config.radio_bytes_s)
        if course.bucket is None:
            course.bucket = Bucket(1.0, now_ms)
        course.bucket.bytes_s = carries * self._config.share_percent / 100
        for meter in (course.meter, self.meter):
            meter.passed(carries, min(now_ms - course.tick_ms, MOST_PASSED_MS))
        course.tick_ms = now_ms
        if course.connection != connection:
            same_boot = course.connection is not None and course.connection[0] == connection[0]
            course.connection = connection
            course.transfer.connected(same_boot)
        transfer = course.transfer
        course.hold = self.hold(node)
        if course.hold or course.bucket.ready_in_ms(now_ms):
            return None
        if transfer.phase == APPLYING and not course.may_apply:
            return None
        return transfer.next(now_ms)

    def sent(self, node: bytes, size: int) -> None:
        """The message took so many bytes on the link."""
        self.bytes += size
        self.meter.bytes += size
        course = self.open.get(node)
        if course is not None and course.bucket is not None:
            course.meter.bytes += size
            course.bucket.took(size)

    def backlog(self, node: bytes) -> None:
        """A frame has come that the node made before its connection."""
        self._past_ms[node] = self._hub.now_ms()

    def frame(self, node: bytes, boot: bytes, seq: int, kind: int, body: dict[int, Any]) -> Any:
        """A sound frame has come: for answers, events and boots to `heard`, whose result it gives."""
        return None if self.heard is None else self.heard(node, boot, seq, kind, body)

    def hold(self, node: bytes) -> str:
        """Why nothing of an update may go to that node now, or ""."""
        now_ms = self._hub.now_ms()
        if self._hub.flow.level != NORMAL:
            return "this agent cannot keep up"
        view = self._hub.view(node)
        if view.told.alarms:
            return f"an alarm is on: {view.told.alarms[0]['event']}"
        if now_ms - self._past_ms.get(node, -BACKLOG_MS) < BACKLOG_MS:
            return "what it kept while it was away comes first"
        battery = view.status.get("battery_pct")
        if battery is not None and battery < self._config.battery_percent and not view.status.get("charging"):
            return f"its battery is at {battery} %, and it is not charging"
        return ""
