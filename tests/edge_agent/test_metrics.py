"""Metrics and health: what they say, and that nobody who asks can hold up or fill the agent."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.nodes.flow import LEVELS
from edge_agent.ops import health as health_module
from edge_agent.ops import metrics as metrics_module
from edge_agent.ops.health import CAUSES, FORWARDER_S, Health
from edge_agent.ops.heart import STUCK_S, Heart
from edge_agent.ops.measures import COMMIT_BUCKETS, Durations, Measures
from edge_agent.ops.metrics import HISTOGRAMS, MAX_VALUES, Metrics
from edge_agent.ops.metrics_http import DEADLINE_S, MAX_CONNECTIONS, MAX_REQUEST_BYTES, MetricsServer
from edge_agent.ops.notify import Notifier
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import PATIENCE_S, Broker, Collecting, Kit, Running, wait_until

NOW = 1_900_000_000_000


def status(**changes):
    found = {
        "written_ms": NOW,
        "started_ms": NOW - 5000,
        "frames_per_s": 3.0,
        "wire_bytes": 900,
        "balanced": True,
        "rejected": {"forged": 2},
        "flow": {"level": "slow down", "waiting_items": 7},
        "links": [{"state": "open", "problem": None}],
        "tcp": None,
        "nodes": [
            {"live": True, "paired": True, "silent_s": None, "clock": {"bound_us": 2500}},
            {"live": False, "paired": True, "silent_s": 30, "clock": {"bound_us": 9e9}},
        ],
        "store": {"problem": None, "bytes": 4096, "stored_frames": 12, "gone": {"quota": 4}},
        "custody": {"batches": 3, "forks": 0},
        "forward": {
            "mqtt": {
                "connected": True,
                "receipts": 2,
                "lag_s": 1.5,
                "withheld": 4,
                "refusals": {"quota": 1},
            }
        },
        "totals": {"produced": 20, "delivered": 12, "pending": 8},
    }
    return {**found, **changes}


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    text = metrics.text().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_metrics_say():
    measures = Measures()
    for seconds in (0.004, 0.004, 3.0):
        measures.commit.add(seconds)
    found = samples(Metrics(measures, status))
    assert found["vitalwire_frames", "delivered"] == 12
    assert found["vitalwire_rejected_total", "forged"] == 2
    assert found["vitalwire_nodes", "live"] == 1 and found["vitalwire_nodes", "silent"] == 1
    assert found["vitalwire_clock_bound_seconds", ""] == 0.0025
    assert found["vitalwire_forwarder_lag_seconds", "mqtt"] == 1.5
    assert found["vitalwire_forwarder_withheld", "mqtt"] == 4
    assert found["vitalwire_answers_refused_total", "quota"] == 1
    assert found["vitalwire_evicted_frames", "quota"] == 4
    assert found["vitalwire_store_no_room", ""] == 0
    full = {**status(), "store": status()["store"] | {"room": {"problem": "no room is left"}}}
    assert samples(Metrics(measures, lambda: full))["vitalwire_store_no_room", ""] == 1
    assert found["vitalwire_flow_level", ""] == 1
    assert found["vitalwire_commit_seconds_bucket", "0.005"] == 2
    assert found["vitalwire_commit_seconds_bucket", "2.5"] == 2
    assert found["vitalwire_commit_seconds_count", ""] == 3
    assert found["vitalwire_commit_seconds_sum", ""] == pytest.approx(3.008)


def test_every_level_of_the_flow_has_its_number():
    assert {level.name for level in LEVELS} == set(metrics_module.LEVELS)


def test_before_the_first_status_there_are_histograms_only():
    names = {name for name, _ in samples(Metrics(Measures(), lambda: None))}
    assert names and all(name.startswith(tuple(one[0] for one in HISTOGRAMS)) for name in names)


def test_two_agents_in_one_process_do_not_meet():
    one = Metrics(Measures(), status)
    two = Metrics(Measures(), lambda: status(wire_bytes=1))
    assert samples(one)["vitalwire_wire_bytes_total", ""] == 900
    assert samples(two)["vitalwire_wire_bytes_total", ""] == 1


def test_whoever_invents_causes_makes_no_more_labels():
    many = {f"cause{i:04}": 1 for i in range(5000)}
    found = samples(Metrics(Measures(), lambda: status(rejected=many)))
    causes = [label for name, label in found if name == "vitalwire_rejected_total"]
    assert len(causes) == MAX_VALUES + 1
    assert found["vitalwire_rejected_total", "other"] == 5000 - MAX_VALUES


def test_a_duration_counts_in_the_bucket_of_its_bound():
    durations = Durations(COMMIT_BUCKETS)
    durations.add(COMMIT_BUCKETS[0])
    assert durations.cumulative()[0] == (str(COMMIT_BUCKETS[0]), 1)
    durations.add(1e9)
    assert durations.cumulative()[-1] == ("+Inf", 2) and durations.cumulative()[-2][1] == 1


# Health


class Judged:
    """A Health whose status, clock and disk the test sets."""

    def __init__(self, monkeypatch) -> None:
        self.status = status()
        self.now_s = 1000.0
        self.free = 1 << 30
        self.synchronised = True
        self.heart = Heart(Notifier({}), Measures().lag, lambda: self.now_s)
        monkeypatch.setattr(health_module, "free_bytes", lambda path: self.free)
        monkeypatch.setattr(health_module, "clock_synchronised", lambda: self.synchronised)
        self.health = Health(lambda: self.status, self.heart, 64 << 20, "/", lambda: NOW, lambda: self.now_s)

    def after(self, seconds: float) -> "Judged":
        self.now_s += seconds
        self.heart.beat_s = self.now_s
        return self

    def causes(self) -> list[str]:
        good, report = self.health.report()
        assert good == (not report["causes"])
        assert all(cause["what"] and cause["do"] for cause in report["causes"] + report["warnings"])
        return [cause["cause"] for cause in report["causes"]]

    def warnings(self) -> list[str]:
        return [warning["what"] for warning in self.health.report()[1]["warnings"]]


@pytest.fixture
def judged(monkeypatch):
    return Judged(monkeypatch)


def test_a_healthy_agent(judged):
    assert judged.causes() == [] and judged.warnings() == []


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda j: setattr(j, "status", None), "starting"),
        (lambda j: j.status.update(written_ms=NOW - 16_000), "stale"),
        (lambda j: j.status["store"].update(problem="disk full"), "store"),
        (lambda j: setattr(j, "free", 1 << 20), "disk"),
        (lambda j: j.status.update(links=[{"state": "waiting", "problem": "ttyUSB0: no such port"}]), "link"),
        (lambda j: j.status.update(links=[]), "link"),
        (lambda j: setattr(j.heart, "beat_s", j.now_s - STUCK_S - 1), "watchdog"),
    ],
)
def test_what_makes_it_fail(judged, change, cause):
    change(judged)
    assert judged.causes() == [cause] and cause in CAUSES


def test_no_room_is_a_warning(judged):
    judged.status["store"]["room"] = {"problem": "no room is left", "evicted": 3}
    assert judged.causes() == [] and judged.warnings() == ["no room is left"]
    judged.status["store"]["room"]["problem"] = None
    assert judged.warnings() == []


def test_what_went_undelivered_is_a_cause_for_an_hour(judged):
    room = judged.status["store"]["room"] = {"problem": None, "evicted": 0, "evicted_ms": NOW - 1000}
    assert judged.causes() == ["evicted"] and "evicted" in CAUSES
    assert "frames were given up before they were delivered" in judged.health.report()[1]["causes"][0]["what"]
    room["evicted_ms"] = NOW - 3_600_000
    assert judged.causes() == []


def test_a_clone_is_a_cause_for_a_day(judged):
    judged.status["custody"] |= {"clones": 2, "clone_ms": NOW - 1000}
    assert judged.causes() == ["clone"] and "clone" in CAUSES
    assert samples(Metrics(Measures(), lambda: judged.status))["vitalwire_clones", ""] == 2
    judged.status["custody"]["clone_ms"] = NOW - 86_400_000
    assert judged.causes() == []


def test_a_listener_is_a_link(judged):
    judged.status.update(links=[], tcp={"listening": True, "problem": None})
    assert judged.causes() == []
    judged.status["tcp"].update(listening=False, problem="in use")
    assert judged.causes() == ["link"]


def test_a_forwarder_may_be_away_for_a_while(judged):
    judged.status["forward"]["mqtt"].update(connected=False, problem="refused")
    assert judged.causes() == []
    assert judged.after(FORWARDER_S + 1).causes() == ["forwarder"]
    judged.status["forward"]["mqtt"]["required"] = False
    assert judged.causes() == []
    judged.status["forward"]["mqtt"].update(required=True, connected=True)
    assert judged.causes() == []
    judged.status["forward"]["mqtt"]["connected"] = False
    assert judged.causes() == []


def test_a_clock_that_nobody_keeps_is_told_and_does_not_fail(judged):
    judged.synchronised = False
    assert judged.causes() == [] and "clock" in judged.warnings()[0]
    judged.synchronised = True
    assert judged.after(61).warnings() == []
    judged.status["nodes"][0]["clock"]["bound_us"] = 5e6
    assert "5.0 s" in judged.warnings()[0]


# HTTP


@pytest.fixture
def server(request):
    def health():
        return good, {"status": "ok" if good else "failing", "causes": [], "warnings": []}

    good = getattr(request, "param", True)
    found = MetricsServer(("127.0.0.1", 0), Metrics(Measures(), status).text, health)
    found.start()
    yield found
    found.stop()


def raw(server: MetricsServer, request: bytes) -> bytes:
    with socket.create_connection(server.address, PATIENCE_S) as client:
        client.sendall(request)
        answer = b""
        while more := client.recv(65536):
            answer += more
        return answer


def get(server: MetricsServer, path: str) -> tuple[int, str]:
    url = "http://{}:{}{}".format(*server.address, path)
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


def test_scrapes_and_health(server):
    code, text = get(server, "/metrics")
    assert code == 200 and "vitalwire_frames{" in text
    code, text = get(server, "/healthz")
    assert code == 200 and json.loads(text)["status"] == "ok"
    assert get(server, "/")[0] == 404
    head = raw(server, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n") and b"vitalwire" not in head


@pytest.mark.parametrize("server", [False], indirect=True)
def test_an_agent_that_fails_answers_503(server):
    assert get(server, "/healthz")[0] == 503


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: [::1]:9117\r\n\r\n", 200),
        (b"GET /" + b"a" * MAX_REQUEST_BYTES + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_refused(server, request_, code):
    assert raw(server, request_).startswith(b"HTTP/1.1 %d " % code)


@contextmanager
def slow_ones(server: MetricsServer) -> Iterator[list[socket.socket]]:
    """As many as may be, who begin to ask."""
    with ExitStack() as stack:
        slow = []
        for _ in range(MAX_CONNECTIONS):
            slow.append(stack.enter_context(socket.create_connection(server.address, PATIENCE_S)))
            with suppress(OSError):
                slow[-1].sendall(b"GET /metrics HT")
        yield slow


def hung_up(client: socket.socket) -> bool:
    try:
        return client.recv(10) == b""
    except ConnectionError:
        return True


def test_many_who_ask_slowly_are_bounded(server, monkeypatch):
    monkeypatch.setattr("edge_agent.ops.metrics_http.DEADLINE_S", 600)
    with slow_ones(server):
        wait_until(lambda: server._open == MAX_CONNECTIONS, "as many as may be")
        for _ in range(10):
            with socket.create_connection(server.address, PATIENCE_S) as more:
                assert hung_up(more)
    wait_until(lambda: get_or_none(server) == 200, "they have gone by themselves")


def test_many_who_ask_slowly_are_let_go(server, monkeypatch):
    monkeypatch.setattr("edge_agent.ops.metrics_http.DEADLINE_S", 0.3)
    with slow_ones(server) as slow:
        assert all(hung_up(client) for client in slow)
        wait_until(lambda: get_or_none(server) == 200, "there is room")
    assert DEADLINE_S <= 10


def get_or_none(server: MetricsServer) -> int | None:
    try:
        return get(server, "/metrics")[0]
    except OSError:
        return None


def test_a_port_in_use_is_an_error_of_whoever_starts_it(server):
    second = MetricsServer(server.address, bytes, dict)
    with pytest.raises(OSError):
        second.start()


def test_a_running_agent_is_scraped(tmp_path):
    kit = Kit(tmp_path)
    with Broker(tmp_path) as broker, FakeNode(Pty(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        far = kit.collect(broker.port)
        with Collecting(far, broker.port), Running(kit.config(node.pipe.name)) as running:
            metrics = Metrics(running.agent.measures, lambda: running.agent.latest)

            def told() -> bool:
                found = samples(metrics)
                return (
                    found.get(("vitalwire_frames", "delivered"), 0) > 20
                    and found["vitalwire_nodes", "live"] == 1
                    and found["vitalwire_forwarder_connected", "mqtt"] == 1
                    and found["vitalwire_commit_seconds_count", ""] > 0
                    and found["vitalwire_fsync_seconds_count", ""] > 0
                    and found["vitalwire_store_bytes", ""] > 4096
                )

            wait_until(told, "the metrics of an agent in full flow")
