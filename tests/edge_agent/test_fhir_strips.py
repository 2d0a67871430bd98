"""Strips of commands and alarms at a FHIR server: each once, about whom they may be, and none that sticks."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from edge_agent.config import FhirConfig
from edge_agent.config.values import StoreConfig
from edge_agent.custody.audit import lines
from edge_agent.store.items import Frame
from protocol import cbor, waveform
from protocol import frames as f
from tests.edge_agent.alarm_world import ECG, RED, alarm, wave
from tests.edge_agent.custody_kit import BOOT, NODE
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.fhir_kit import ANNA, BERTA, SECOND
from tests.edge_agent.fhir_world import EPOCH_MS, World, world
from tests.edge_agent.running import Kit, Running, wait_until
from tests.fhir_server import fhir_server

ECG_CODE, PLETH = "131329", "150452"


def waves(made: World, first: int, count: int, **more: Any) -> None:
    """Seconds of ECG and red: frames 1 + 2 s and 2 + 2 s; a batch every 10 s."""
    for at_s in range(first, first + count):
        made.now_ms = EPOCH_MS + at_s * 1000
        for place, channel in enumerate((ECG, RED)):
            made.put(1 + 2 * at_s + place, f.KIND_WAVE, at_s * SECOND, wave(channel, **more))
        if at_s % 10 == 9:
            assert made.custody.make()


def strip(made: World, first: int, count: int, channel: int = ECG, name: bytes = b"command1") -> None:
    """What a command had kept of these seconds."""
    place = (ECG, RED).index(channel)
    runs = [[1 + 2 * at_s + place, 1] for at_s in range(first, first + count)]
    row = (name, NODE.id, BOOT, channel, first * SECOND, (first + count) * SECOND, cbor.dumps(runs), 1)
    with made.store.transaction() as db:
        db.execute(
            "INSERT INTO strips(command, node, boot, channel, from_us, to_us, frames, made_ms) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )


def sent(server: Any, code: str = ECG_CODE) -> list[tuple[str, int]]:
    """Observations with that code: the numbers that they are named by, and samples."""
    found = server.observations(code)
    names = [one["identifier"][0]["value"].split("-")[-2:] for one in found]
    sizes = [len(one["valueSampledData"]["data"].split()) for one in found]
    return sorted(("-".join(name), size) for name, size in zip(names, sizes, strict=True))


def stated(made: World) -> list[dict[str, Any]]:
    return [line.more for line in lines(made.store.db, what="strip_forwarded")]


def test_a_strip_goes_once_in_pieces_of_a_minute_with_the_batches_that_hold_it(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        waves(made, 0, 160)
        strip(made, 5, 150)
        strip(made, 20, 10, RED, b"command2")
        made.settle()
        assert sent(server) == [("11-129", 6000), ("131-249", 6000), ("251-309", 3000)]
        assert sent(server, PLETH) == [("42-60", 1000)]
        one = server.observations(ECG_CODE)[0]
        assert one["valueSampledData"]["period"] == 10 and one["valueSampledData"]["data"].startswith("0 1 2")
        heads = {len(proof["signature"]) for proof in server.kinds("Provenance")}
        assert heads == {16, 1}
        first, second = stated(made)
        assert (first["strip"], first["observations"], second["observations"]) == (1, 3, 1)
        assert "left_out" not in first and all(len(one) == 32 for one in first["answers"])
        requests = len(server.requests)
        made.restart()
        made.settle()
        assert len(server.requests) == requests and len(stated(made)) == 2
        assert made.custody.make() and made.letters == []


def test_a_crash_before_the_cursor_moves_sends_the_same_again(tmp_path, authority, monkeypatch):
    with world(tmp_path, authority) as (made, server):
        waves(made, 0, 20, _15=f.SRC_SYNTHETIC)
        strip(made, 0, 20)

        def crash(*_: object) -> None:
            raise RuntimeError("power cut")

        with monkeypatch.context() as patched, pytest.raises(RuntimeError):
            patched.setattr("edge_agent.forward.fhir.settle", crash)
            made.settle()
        assert len(sent(server)) == 1 and stated(made) == []
        made.restart()
        made.settle()
        assert sent(server) == [("1-39", 2000)] and len(stated(made)) == 1
        assert server.transactions == 2
        # What is made up is nobody's.
        assert server.observations(ECG_CODE)[0]["meta"]["security"][0]["code"] == "HTEST"
        (patient,) = server.kinds("Patient")
        assert "not a person" in patient["name"][0]["text"]


def test_what_is_not_signed_yet_is_waited_for_and_holds_up_nothing(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(100, 60)
        made.put(1, f.KIND_WAVE, 0, wave(ECG))
        strip(made, 0, 1)
        made.settle()
        assert sent(server) == [] and server.observations("147842") and made.open_batches == []
        assert made.custody.make()
        made.settle()
        assert sent(server) == [("1-1", 100)]


def test_a_server_that_is_away_has_it_later_and_one_that_refuses_it_is_asked_again(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        waves(made, 0, 70)
        strip(made, 0, 70)
        server.faults = [503, "cut after", 500]
        server.refuse = lambda resource: (
            (422, "no waves") if "-1-" in str(resource.get("identifier", "")) else None
        )
        made.settle(400)
        assert sent(server) == [("121-139", 1000)]
        assert [reason for _, reason in made.letters] == ["HTTP 422: no waves"]
        (told,) = stated(made)
        assert told["observations"] == 1 and told["left_out"] == {"refused": 1}
        server.refuse = lambda resource: None
        made.restart()
        asyncio.run(made.channel.retry())
        made.settle()
        assert sent(server) == [("1-119", 6000), ("121-139", 1000)] and made.letters == []


@pytest.mark.parametrize("all_of_it", [False, True])
def test_what_is_evicted_or_erased_is_stated_and_the_rest_goes(tmp_path, authority, all_of_it):
    with world(tmp_path, authority) as (made, server):
        waves(made, 0, 20)
        strip(made, 0, 20)
        strip(made, 0, 20, RED, b"command2")
        which = "" if all_of_it else "AND seq BETWEEN 11 AND 14"
        rows = made.store.db.execute(f"SELECT id FROM journal WHERE seq > 0 {which}").fetchall()
        made.store.erase([row for (row,) in rows])
        made.settle()
        assert sent(server) == ([] if all_of_it else [("1-9", 500), ("15-39", 1300)])
        gone = {"gone": 20 if all_of_it else 2}
        assert [told["left_out"] for told in stated(made)] == [gone, gone] and made.letters == []
        assert made.channel.status()["left_out"]["gone"] >= 2 * gone["gone"]


def test_a_boot_without_a_date_and_a_node_of_nobody_are_stated(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        waves(made, 0, 20)
        strip(made, 0, 5)
        made.people.persons = {}
        made.settle()
        made.people.persons = {NODE.id: ANNA}
        strange = BOOT[:-1] + b"\7"
        body = f.pack(f.KIND_WAVE, 0, wave(ECG))
        made.store.commit([Frame(NODE.id, strange, 3, body, made.now_ms)])
        assert made.custody.make()
        with made.store.transaction() as db:
            db.execute(
                "INSERT INTO strips(command, node, boot, channel, from_us, to_us, frames, made_ms) "
                "VALUES(?, ?, ?, 0, 0, 1, ?, 1)",
                (b"command3", NODE.id, strange, cbor.dumps([[3, 1]])),
            )
        made.settle()
        assert [told["left_out"] for told in stated(made)] == [{"unassigned": 5}, {"undated": 1}]
        assert server.requests == []


def test_each_second_is_about_whose_node_it_was_and_goes_when_that_person_agrees(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.people.handed_over_ms = EPOCH_MS + 30_500
        bertas = [True]
        made.custody.withhold = lambda name, rows: {r.id for r in rows if bertas and r.seq and r.seq > 60}
        waves(made, 0, 80)
        strip(made, 0, 60)
        strip(made, 60, 20, name=b"command2")
        strip(made, 0, 10, RED, b"command3")
        made.settle()
        assert sent(server) == [("1-59", 3000)] and sent(server, PLETH) == [("2-20", 1000)]
        assert len(server.kinds("Patient")) == 1
        told = [one.get("left_out") for one in stated(made)]
        assert told == [{"withheld": 30}, {"withheld": 20}, None]
        made.restart()
        asyncio.run(made.delivery._release(made.channel))
        made.settle()
        # The second across which it changed hands is nobody's.
        assert sent(server) == [("1-59", 3000), ("121-159", 2000), ("63-119", 2900)]
        subjects = [one["identifier"][0]["value"][-12:] for one in server.kinds("Patient")]
        assert sorted(subjects) == sorted(person.hex()[-12:] for person in (ANNA, BERTA))
        assert asyncio.run(made.delivery.batches_after("fhir", 10)) == [] and len(stated(made)) == 3


def test_strips_and_batches_go_in_turn(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.people.persons = {}
        made.vitals(0, 240)
        for number in range(5):
            strip(made, 10 * number, 10, name=b"command%d" % number)
        groups = len(made.open_batches) // 6
        made.settle(6)
        assert len(stated(made)) == 3 and len(made.open_batches) == 6 * (groups - 3)
        made.settle()
        assert len(stated(made)) == 5 and made.open_batches == [] and server.requests == []


def test_without_strips_none_goes(tmp_path, authority):
    with world(tmp_path, authority, strips=False) as (made, server):
        waves(made, 0, 10)
        strip(made, 0, 10)
        made.settle()
        assert server.requests == [] and stated(made) == [] and made.open_batches == []


def test_an_alarm_at_a_node_brings_its_waves_to_the_server(tmp_path, authority, monkeypatch):
    """From the node, over an agent that ends right after the alarm and another one, to the server."""
    monkeypatch.setattr("edge_agent.people.records.People.person_at", lambda people, node, unix_ms: ANNA)
    monkeypatch.setattr("edge_agent.people.records.People.allows", lambda *_: True)
    kit = Kit(tmp_path)
    kit.options["storage"] = StoreConfig(alarm_strip_before_s=1, alarm_strip_after_s=1)
    with fhir_server(authority) as server, FakeNode(Pty(), agent=kit.identity, rate=20) as node:
        kit.pair(node)
        kit.options["fhir"] = FhirConfig(server.url, ca_file=authority.ca_file)
        vitals = node.vitals

        def tenth() -> int:
            node.make(f.KIND_WAVE, short)
            return vitals()

        short = wave(ECG, _2=10, _6=waveform.encode(list(range(10)), 10), _15=f.SRC_SYNTHETIC)
        node.vitals = tenth
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60, "frames")
            event = node.make(f.KIND_EVENT, alarm(1, f.PRIORITY_HIGH))
            at_us = f.unpack(node.made[node.boot.boot_id, event])[1]
            wait_until(lambda: node.held < 10, "acknowledged")

        def waves_of(seqs: Iterable[int]) -> dict[int, int]:
            found = {seq: f.unpack(node.made[node.boot.boot_id, seq]) for seq in seqs}
            return {seq: t_us for seq, (kind, t_us, _) in found.items() if kind == f.KIND_WAVE}

        def there() -> set[int]:
            return set(waves_of(_numbers(server)))

        def around() -> set[int]:
            made = waves_of(range(len(node.made)))
            return {seq for seq, t_us in made.items() if at_us - 1_100_000 < t_us < at_us + SECOND}

        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: there() and there() == around(), "the strip at the server, whole")
            wait_until(lambda: kit.status["commands"]["alarm_strips"]["kept"] == 1, "the status")
    assert there() == around()


def _numbers(server: Any) -> list[int]:
    """Of all frames that the strips at the server are of."""
    names = [one["identifier"][0]["value"].split("-")[-2:] for one in server.observations(ECG_CODE)]
    return [seq for first, last in names for seq in range(int(first), int(last) + 1)]
