"""What standard devices had stored, over a real link layer: it comes once, and is deleted when all of it is
here.
"""

import time
from contextlib import closing
from datetime import datetime

from edge_agent.standard import characteristics as c
from edge_agent.standard import dating, racp, taken
from edge_agent.standard.devices import Device, Devices
from edge_agent.store.database import open_file
from edge_agent.store.rows import journal_rows
from edge_agent.store.schema import ENTRY_CLOCK
from protocol import cbor, frames
from tests.edge_agent.running import Running, wait_until
from tests.edge_agent.standard_device import StandardDevice
from tests.edge_agent.test_standard_devices import ADDRESS, CUFF, SPOT, STRAP, number, pressure, spot

NEVER_SET = 0x10


def told(kit, kind):
    """Bodies and times of the frames of that kind, in order; and the bounds of all clocks."""
    with closing(open_file(kit.folder / "agent.db")) as db:
        rows = [row for row in journal_rows(db, 0, 1 << 40)]
    unpacked = [cbor.loads(row.data) for row in rows if row.boot and row.data]
    bounds = {cbor.loads(row.data or b"")[-1] for row in rows if not row.boot and row.kind == ENTRY_CLOCK}
    return [(body, t_us / 1e6) for its, t_us, body in unpacked if its == kind], bounds


def counted(kit, what, n):
    wait_until(lambda: kit.status["devices"][0][what] >= n, f"{what}: {n}")


def undated(spo2, stamp):
    return bytes([1]) + number(spo2) + number(61) + stamp


def test_stored_records_without_a_sound_date_come_once_and_are_not_of_now(radio, kit):
    Devices(kit.folder).add(Device(ADDRESS, "finger"))
    feb_30 = bytes.fromhex("ea07 02 1e 00 00 00")
    unset = bytes([1 | NEVER_SET]) + number(93) + number(61) + c.date_time(datetime.now())
    records = [undated(90, bytes(7)), undated(91, feb_30), undated(90, bytes(7)), unset]
    with StandardDevice(radio, ADDRESS, SPOT) as finger:
        finger.stored = records
        for _ in range(2):
            with Running(kit.config()):
                wait_until(
                    lambda: sum(kit.status["devices"][0][key] for key in ("values", "repeated")) == 4,
                    "all have come",
                )
    found, bounds = told(kit, frames.KIND_VITALS)
    assert [body[frames.VITALS_SPO2] for body, _ in found] == [900, 910, 900, 930]
    assert bounds == {dating.UNKNOWN_BOUND_US}


def test_another_answer_than_the_one_that_was_asked_for_deletes_nothing(radio, kit):
    Devices(kit.folder).add(Device(ADDRESS, "finger", forget=True))
    # How many there are, and the end of a request to abort.
    wrong = [bytes.fromhex("05 00 01 00"), bytes.fromhex("06 00 03 01")]
    with StandardDevice(radio, ADDRESS, SPOT) as finger:
        finger.stored = [spot(datetime(2026, 1, 2, 3, 4, 5))]
        finger.control_answers[racp.REPORT_ALL] = wrong.pop()
        with Running(kit.config()):
            for n in (1, 2):
                wait_until(lambda n=n: finger.requests == [racp.REPORT_ALL] * n, "it is asked")
                finger.measure(SPOT, undated(95 + n, bytes(7)))
                counted(kit, "values", 1 + n)
                assert finger.requests == [racp.REPORT_ALL] * n and not finger.deleted
                finger.control_answers[racp.REPORT_ALL] = wrong[0]
                finger.leave()


def test_nothing_is_deleted_while_something_could_not_be_taken(radio, kit):
    devices = Devices(kit.folder)
    devices.add(Device(ADDRESS, "finger", forget=True))
    key = kit.folder / "devices" / f"{ADDRESS.replace(':', '-')}.key"
    key.parent.mkdir(exist_ok=True)
    key.write_bytes(b"no key")
    with StandardDevice(radio, ADDRESS, SPOT) as finger:
        finger.stored = [spot(datetime(2026, 1, 2, 3, 4, 5))]
        with Running(kit.config()):
            counted(kit, "missed", 1)
            wait_until(lambda: "none is deleted" in (kit.status["devices"][0]["problem"] or ""), "it is said")
            assert kit.status["rejected"]["device_keys"] == 1
            key.unlink()
            finger.leave()
            # It is asked for again, and only then deleted.
            wait_until(lambda: finger.deleted == 1, "it is deleted once it is here")
    assert len(told(kit, frames.KIND_VITALS)[0]) == 1


def test_values_that_no_body_has_and_times_that_no_calendar_has(radio, kit):
    Devices(kit.folder).add(Device(ADDRESS, "cuff"))
    with StandardDevice(radio, ADDRESS, CUFF, STRAP) as cuff, Running(kit.config()):
        wait_until(lambda: cuff.subscribed(CUFF) and cuff.subscribed(STRAP), "the agent listens")
        for at in (datetime(1, 1, 1), datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59)):
            cuff.measure(CUFF, pressure(at=at, user=254))
        cuff.measure(STRAP, bytes.fromhex("00 00"))
        cuff.measure(STRAP, bytes.fromhex("1f ff ff ff ff 00 00 ff ff"))
        counted(kit, "values", 5)
        assert not kit.status["rejected"]
    found, _ = told(kit, frames.KIND_BP)
    assert len(found) == 3 and all(abs(t - time.time()) < 300 for _, t in found)
    (none, _), (some, _) = told(kit, frames.KIND_VITALS)[0]
    assert none == {frames.SOURCE: frames.SRC_DEVICE}
    assert some == {frames.SOURCE: frames.SRC_DEVICE, frames.VITALS_RR: [63999]}


def test_a_flood_is_counted_and_not_stored(radio, kit, monkeypatch):
    monkeypatch.setattr(taken, "BURST", 5)
    monkeypatch.setattr(taken, "A_SECOND", 0)
    Devices(kit.folder).add(Device(ADDRESS, "strap"))
    with StandardDevice(radio, ADDRESS, STRAP) as strap, Running(kit.config()):
        wait_until(lambda: strap.subscribed(STRAP), "the agent listens")
        for n in range(12):
            strap.measure(STRAP, bytes((0, 60 + n)))
        counted(kit, "missed", 7)
        assert kit.status["rejected"]["device_flood"] == 7
    assert [body[frames.VITALS_HR] for body, _ in told(kit, frames.KIND_VITALS)[0]] == [
        600,
        610,
        620,
        630,
        640,
    ]
