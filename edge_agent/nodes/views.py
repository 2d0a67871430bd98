"""What the agent knows of each node at this moment: is it there, what did it say last, how does its clock
run.
"""

from typing import Any

from edge_agent.ledger.hearsay import Summary
from edge_agent.nodes import seen
from edge_agent.nodes.alarms import Events
from edge_agent.nodes.clockfit import ClockFit, Fix
from edge_agent.store.items import Entry, Frame, Said
from edge_agent.store.schema import ENTRY_CLOCK
from protocol import cbor, frames
from protocol import session_events as ev

# A fit is written down when it is new, twice as good as the one before, or a minute old by the node's clock,
# which nobody sets.
CLOCK_ENTRY_US = 60_000_000

# What is older when it arrives says nothing about now. A node gives a connection up after 30 s without an
# answer: within a connection that lives, nothing is held back for twice as long.
OLD_US = 60_000_000

# Of these kinds the newest is shown. Of others nothing is kept: a node may send any number as a kind.
SHOWN = frozenset((frames.KIND_VITALS, frames.KIND_STATUS, frames.KIND_BOOT, frames.KIND_BP, frames.KIND_LOG))


def item_of(event: ev.FrameIn, received_ms: int) -> tuple[Frame, tuple[int, int, Any] | None]:
    """The frame as the store takes it, and (kind, t_us, body); None for an authentic frame that is malformed
    all the same.
    """
    if event.frame is None or event.frame[2] is None:
        return Frame(event.node_id, event.boot_id, event.seq, event.plaintext, received_ms), event.frame
    kind, _, body = event.frame
    previous: Said | None = None
    earlier: tuple[Said | Summary, ...] = ()
    losses: tuple[tuple[int, int, int], ...] = ()
    before: tuple[tuple[bytes, int, int, int], ...] = ()
    if kind == frames.KIND_BOOT:
        if frames.BOOT_PREVIOUS in body:
            previous = _said(*body[frames.BOOT_PREVIOUS])
        earlier = tuple(
            _said(*item) if isinstance(item[0], bytes) else Summary(*item)
            for item in body.get(frames.BOOT_EARLIER, ())
        )
    elif kind == frames.KIND_LOSS:
        losses = tuple(tuple(loss) for loss in body[frames.LOSS_RANGES])
    elif kind == frames.KIND_LOST_BEFORE:
        before = tuple(
            tuple(loss)
            for loss in body[frames.LOST_BEFORE]
            if int.from_bytes(loss[0][:4], "big") < int.from_bytes(event.boot_id[:4], "big")
        )
    item = Frame(
        event.node_id,
        event.boot_id,
        event.seq,
        event.plaintext,
        received_ms,
        previous,
        earlier,
        losses,
        lost_before=before,
    )
    return item, event.frame


def _said(boot: bytes, known_next: int, clean: bool, bound_s: int) -> Said:
    return boot, known_next, clean, bound_s


class NodeView:
    """One node. Times are Unix milliseconds unless named otherwise."""

    def __init__(self, node: bytes) -> None:
        self.node = node
        self.link: str | None = None
        self.live = False
        self.live_ms = 0
        self.boot: bytes | None = None
        # The other agents (ids in hex) that its newest boot is open to.
        self.others: list[str] = []
        self.heard_ms = 0
        self.about: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.blood_pressure: dict[str, Any] | None = None
        self.crash: dict[str, Any] | None = None
        self.told = Events(self._is_old)
        self.malformed = 0
        self._vitals: dict[str, Any] = {}
        self._vitals_frame: bytes | None = None
        self._newest: dict[int, tuple[bytes, int]] = {}
        self._clock = ClockFit()
        self._clock_boot: bytes | None = None
        self._steps = 0
        self._noted: tuple[int, int] | None = None

    def said(
        self,
        boot: bytes,
        seq: int,
        frame: tuple[int, int, Any] | None,
        received_us: int,
        past: bool = False,
        plaintext: bytes = b"",
    ) -> None:
        """Take note of a frame; an older one than the last of its kind (a backlog) changes the list of events
        only. `past`: it was made before the connection that it came on. `plaintext`: of vitals that are not
        decoded yet.
        """
        received_ms = self.heard_ms = received_us // 1000
        self.told.heard(boot, past)
        if frame is None:
            self.malformed += 1
            return
        kind, t_us, body = frame
        if kind == frames.KIND_EVENT:
            self.told.take(boot, seq, t_us, body, received_us, past)
        if kind not in SHOWN or (kind == frames.KIND_LOG and body[frames.LOG_LEVEL] != frames.LOG_CRASH):
            return
        if self._newest.get(kind, (b"", -1)) >= (boot, t_us):
            return
        self._newest[kind] = (boot, t_us)
        if kind == frames.KIND_VITALS:
            # Shown once in a while, said every second.
            self._vitals = {} if body is None else seen.vitals(body)
            self._vitals_frame = plaintext if body is None else None
        elif kind == frames.KIND_STATUS:
            self.status = seen.status(body)
        elif kind == frames.KIND_BOOT:
            self.about = seen.about(body)
        elif kind == frames.KIND_BP:
            past = past or self._is_old(boot, t_us, received_us)
            self.blood_pressure = seen.blood_pressure(body) | {"received_ms": received_ms, "past": past}
        elif kind == frames.KIND_LOG:
            self.crash = seen.crash(body, boot) | {"received_ms": received_ms}

    def forget(self) -> None:
        """Show nothing any more of what was measured until now: it was erased."""
        self._vitals, self._vitals_frame, self.blood_pressure = {}, None, None
        self.told = Events(self._is_old)

    @property
    def vitals(self) -> dict[str, Any]:
        """The newest vitals, {} before the first."""
        if self._vitals_frame is not None:
            # It was seen to be sound when it came (glance.py).
            self._vitals, self._vitals_frame = seen.vitals(cbor.loads(self._vitals_frame)[2]), None
        return self._vitals

    @property
    def sources(self) -> set[str]:
        """Where the newest vitals come from."""
        return {self.vitals["source"], self.vitals["ppg_source"]} if self.vitals else set()

    def _is_old(self, boot: bytes, t_us: int, received_us: int) -> bool:
        """Whether it was made long before it was received, as far as the node's clock is known."""
        fix = self._clock.fix(t_us) if boot == self._clock_boot else None
        return fix is not None and received_us - fix.unix_us - fix.bound_us > OLD_US

    # Its clock

    def echo(self, event: ev.TimeEcho, sent_us: int, received_us: int) -> Entry | None:
        """Fit the clock with an echo; the entry to be signed, when the fit is worth writing down."""
        if event.boot_id != self._clock_boot:
            self._clock, self._clock_boot, self._noted = ClockFit(), event.boot_id, None
            self._steps = 0
        if not self._clock.echo(sent_us, received_us, event.rx_us, event.tx_us):
            return None
        if self._clock.steps != self._steps:
            self._steps = self._clock.steps
            self._noted = None
            self.told.clock_stepped()
        fix = self._clock.fix(event.rx_us)
        if fix is None:
            return None
        if self._noted is not None:
            noted_us, bound_us = self._noted
            if event.rx_us - noted_us < CLOCK_ENTRY_US and fix.bound_us * 2 > bound_us:
                return None
        self._noted = (event.rx_us, fix.bound_us)
        entry = [ENTRY_CLOCK, self.node, event.boot_id, *fix]
        return Entry(ENTRY_CLOCK, cbor.dumps(entry), received_us // 1000)

    def fix(self, unix_us: int) -> Fix | None:
        """The clock as it is believed to be at this moment: the bound has grown since the last echo."""
        last_us = self._clock.last_us
        last = None if last_us is None else self._clock.fix(last_us)
        return None if last is None else self._clock.fix(last.t_us + max(0, unix_us - last.unix_us))

    def clock(self, unix_us: int) -> dict[str, Any] | None:
        """The clock in words for status.json."""
        fix = self.fix(unix_us)
        if fix is None:
            return None
        return {
            "offset_us": fix.unix_us - fix.t_us,
            "rate_ppb": fix.rate_ppb,
            "bound_us": fix.bound_us,
            "echoes": self._clock.echoes,
            "steps": self._clock.steps,
        }
