"""The agent's metrics for Prometheus: what its last status and its measures say, in a registry of its own.

Nothing is asked of the event loop or the store when a scrape comes: the status is a few seconds old at most.
All label values are from bounded sets, whatever nodes and far ends send; there are none per node.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.ledger.ledger import COUNTS
from edge_agent.ops.health import clock_bound_s
from edge_agent.ops.measures import Durations, Measures

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
# Further causes, and further names of what foreigners may name, are counted together.
MAX_VALUES = 24
OTHER = "other"
LEVELS = {"normal": 0, "slow down": 1, "waveforms off": 2}

Status = Mapping[str, Any]
Value = float | int | bool | None
# Label value (or "" without a label) and the value.
Samples = Iterator[tuple[str, Value]]


class Described(NamedTuple):
    """A metric: its kind, its one label ("": none), what it says, and how it is read from the status."""

    name: str
    kind: str
    label: str
    help: str
    read: Callable[[Status], Samples]


def _one(*path: str, scale: float = 1.0) -> Callable[[Status], Samples]:
    """The value at that path of the status; nothing where it is not."""

    def read(status: Status) -> Samples:
        value: Any = status
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(value, int | float):
            yield "", value * scale

    return read


def _counts(*path: str) -> Callable[[Status], Samples]:
    """A table of counts at that path, the causes beyond MAX_VALUES together."""

    def read(status: Status) -> Samples:
        table: Any = status
        for key in path:
            table = table.get(key) or {}
        yield from _bounded(table)

    return read


def _bounded(table: Mapping[str, int]) -> Samples:
    names = sorted(table)
    yield from ((name, table[name]) for name in names[:MAX_VALUES])
    rest = sum(table[name] for name in names[MAX_VALUES:])
    if rest:
        yield OTHER, rest


def _forward(key: str, scale: float = 1.0) -> Callable[[Status], Samples]:
    """One number of each forwarder that tells it."""

    def read(status: Status) -> Samples:
        for name, told in status["forward"].items():
            value = told.get(key)
            if isinstance(value, int | float):
                yield name, value * scale

    return read


def _answers(status: Status) -> Samples:
    together: dict[str, int] = {}
    for told in status["forward"].values():
        for table in (told.get("rejected"), told.get("refusals")):
            counts = cast("dict[str, int]", table or {})
            for cause, count in counts.items():
                together[cause] = together.get(cause, 0) + count
    return _bounded(together)


def _nodes(status: Status) -> Samples:
    nodes = status["nodes"]
    yield "live", sum(bool(node.get("live")) for node in nodes)
    yield "silent", sum(node.get("silent_s") is not None for node in nodes)
    yield "paired", sum(bool(node.get("paired")) for node in nodes)


def _links(status: Status) -> Samples:
    states = [link["state"] for link in status["links"]]
    yield "open", states.count("open")
    yield "waiting", len(states) - states.count("open")


def _problem(status: Status) -> Samples:
    yield "", bool(status["store"]["problem"])


def _no_room(status: Status) -> Samples:
    room: Status = status["store"].get("room") or {}
    yield "", bool(room.get("problem"))


def _halted(status: Status) -> Samples:
    updates: Status = status.get("updates") or {}
    newest: Status = updates.get("rollout") or {}
    yield "", newest.get("state") == "halted" or bool(updates.get("problem"))


def _frames(status: Status) -> Samples:
    return ((name, status["totals"].get(name, 0)) for name in COUNTS)


def _flow(status: Status) -> Samples:
    yield "", LEVELS[status["flow"]["level"]]


def _clock(status: Status) -> Samples:
    yield "", clock_bound_s(status)


METRICS = (
    Described(
        "vitalwire_start_time_seconds",
        GAUGE,
        "",
        "when the agent started, Unix time",
        _one("started_ms", scale=1e-3),
    ),
    Described(
        "vitalwire_status_time_seconds",
        GAUGE,
        "",
        "when the status behind all this was taken, Unix time",
        _one("written_ms", scale=1e-3),
    ),
    Described(
        "vitalwire_frames", GAUGE, "outcome", "frames by what became of them: the ledger's columns", _frames
    ),
    Described("vitalwire_ledger_balanced", GAUGE, "", "1: every frame is accounted for", _one("balanced")),
    Described(
        "vitalwire_stored_frames_total",
        COUNTER,
        "",
        "frames made durable since the start",
        _one("store", "stored_frames"),
    ),
    Described(
        "vitalwire_refused_frames_total",
        COUNTER,
        "",
        "frames let go, unacknowledged: the disk refused",
        _one("store", "refused_frames"),
    ),
    Described(
        "vitalwire_wire_bytes_total",
        COUNTER,
        "",
        "bytes of authentic frames since the start",
        _one("wire_bytes"),
    ),
    Described(
        "vitalwire_rejected_total",
        COUNTER,
        "cause",
        "messages from links that were not accepted",
        _counts("rejected"),
    ),
    Described("vitalwire_backlog_items", GAUGE, "", "what waits for the disk", _one("flow", "waiting_items")),
    Described(
        "vitalwire_flow_level", GAUGE, "", "what nodes are asked: 0 all, 1 slow down, 2 no waveforms", _flow
    ),
    Described("vitalwire_nodes", GAUGE, "state", "nodes: live, silent though proved, paired", _nodes),
    Described("vitalwire_links", GAUGE, "state", "links: open, or waiting to be", _links),
    Described(
        "vitalwire_clock_bound_seconds", GAUGE, "", "the widest bound on the time of a live node", _clock
    ),
    Described("vitalwire_store_bytes", GAUGE, "", "the store's size on its disk", _one("store", "bytes")),
    Described(
        "vitalwire_store_quota_bytes",
        GAUGE,
        "",
        "its greatest size; absent: none",
        _one("store", "quota_bytes"),
    ),
    Described(
        "vitalwire_disk_free_bytes", GAUGE, "", "free on the disk of state_dir", _one("store", "free_bytes")
    ),
    Described("vitalwire_store_problem", GAUGE, "", "1: the disk refuses, nothing is acknowledged", _problem),
    Described(
        "vitalwire_store_set_aside",
        GAUGE,
        "",
        "stores that were damaged and set aside",
        _one("store", "set_aside"),
    ),
    Described(
        "vitalwire_store_no_room",
        GAUGE,
        "",
        "1: over the quota, or too little disk, and nothing may go",
        _no_room,
    ),
    Described(
        "vitalwire_evicted_frames",
        GAUGE,
        "cause",
        "frames whose data is gone: retention, quota, erased",
        _counts("store", "gone"),
    ),
    Described("vitalwire_batches", GAUGE, "", "signed batches in the store", _one("custody", "batches")),
    Described(
        "vitalwire_forks",
        GAUGE,
        "",
        "batches that somebody else signed with this key",
        _one("custody", "forks"),
    ),
    Described(
        "vitalwire_clones",
        GAUGE,
        "",
        "times that another agent signed with this key while this one ran",
        _one("custody", "clones"),
    ),
    Described(
        "vitalwire_forwarder_connected", GAUGE, "forwarder", "1: the far end is there", _forward("connected")
    ),
    Described(
        "vitalwire_forwarder_lag_seconds",
        GAUGE,
        "forwarder",
        "age of the oldest batch without a receipt",
        _forward("lag_s"),
    ),
    Described(
        "vitalwire_forwarder_receipts_total",
        COUNTER,
        "forwarder",
        "receipts since the start",
        _forward("receipts"),
    ),
    Described(
        "vitalwire_forwarder_sent_total",
        COUNTER,
        "forwarder",
        "batches sent since the start",
        _forward("sent"),
    ),
    Described(
        "vitalwire_forwarder_resent_total", COUNTER, "forwarder", "of them, sent before", _forward("resent")
    ),
    Described(
        "vitalwire_forwarder_sent_bytes_total", COUNTER, "forwarder", "their bytes", _forward("sent_bytes")
    ),
    Described(
        "vitalwire_dead_letters",
        GAUGE,
        "forwarder",
        "what the far end refuses for ever",
        _forward("dead_letters"),
    ),
    Described(
        "vitalwire_forwarder_withheld",
        GAUGE,
        "forwarder",
        "entries that it may not have for want of consent",
        _forward("withheld"),
    ),
    Described(
        "vitalwire_answers_refused_total",
        COUNTER,
        "cause",
        "answers not accepted, and refusals of far ends",
        _answers,
    ),
    Described(
        "vitalwire_update_nodes",
        GAUGE,
        "state",
        "nodes of the newest roll-out, by what became of them",
        _counts("updates", "rollout", "nodes"),
    ),
    Described(
        "vitalwire_rollout_halted",
        GAUGE,
        "",
        "1: a roll-out has halted, or cannot be kept: it waits for a person",
        _halted,
    ),
    Described(
        "vitalwire_update_bytes_total",
        COUNTER,
        "",
        "bytes of updates on links since the start",
        _one("updates", "bytes"),
    ),
    Described(
        "vitalwire_update_share",
        GAUGE,
        "",
        "those bytes / what the links could have carried meanwhile",
        _one("updates", "share"),
    ),
)


# Attributes of Measures.
HISTOGRAMS = (
    ("vitalwire_commit_seconds", "from a group's hand-over to the store until it is durable", "commit"),
    ("vitalwire_fsync_seconds", "the COMMIT of it: what the disk takes", "fsync"),
    ("vitalwire_loop_lag_seconds", "how late the event loop comes", "lag"),
)

FAMILIES = {GAUGE: GaugeMetricFamily, COUNTER: CounterMetricFamily}


class Metrics(Collector):
    """The metrics of one agent, for one thread. `latest`: its last status, None before the first."""

    def __init__(self, measures: Measures, latest: Callable[[], Status | None]) -> None:
        self._measures = measures
        self._latest = latest
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks for at each scrape."""
        status = self._latest()
        for one in METRICS if status is not None else ():
            assert status is not None
            family = FAMILIES[one.kind](one.name, one.help, labels=[one.label] if one.label else None)
            for label, value in one.read(status):
                if value is not None:
                    family.add_metric([label] if one.label else [], float(value))
            if family.samples:
                yield family
        for name, says, attribute in HISTOGRAMS:
            durations: Durations = getattr(self._measures, attribute)
            histogram = HistogramMetricFamily(name, says)
            histogram.add_metric([], durations.cumulative(), durations.total)
            yield histogram
