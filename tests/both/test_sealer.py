"""The sealer at the end of its numbers, and when its keys refuse: the boot ends; no number seals twice."""

from firmware.sealer import NEVER, SOON, BootBroken, Sealer
from protocol import frames
from protocol.attest import Attester
from protocol.crypto import run
from protocol.identity import generate_steps
from protocol.outbox import Outbox
from tests.both.sealing import sealing

BOOT_ID = bytes(range(12))
VITALS = {1: 720}


class Record:
    """What a boot record keeps of the numbers."""

    def __init__(self):
        self.kept = []

    def retain(self, next_seq):
        assert next_seq <= 0xFFFFFFFF
        self.kept.append(next_seq)


class Clock:
    def now_us(self):
        return 5


def sealer(next_seq=0):
    """(sealer, its record) of a boot that has sealed the numbers below `next_seq`."""
    box = Outbox(10000)
    box.next_seq = next_seq
    attester = Attester(run(generate_steps(bytes(64))), BOOT_ID)
    attester._first = next_seq
    record = Record()
    return Sealer(sealing(bytes(16), BOOT_ID), box, attester, record, Clock()), record


def broken(one):
    """Whether it refuses to seal."""
    try:
        one.seal(frames.KIND_VITALS, VITALS)
    except BootBroken:
        return True
    return False


def test_a_boot_whose_numbers_end_soon_says_so():
    one, _ = sealer(SOON - 2)
    for expected in (False, False, True, True):
        assert not broken(one)
        assert one.spent == expected
    assert not one.broken


def test_the_last_number_is_left_out_and_ends_the_boot():
    one, record = sealer(NEVER - 2)
    assert not broken(one) and not broken(one)
    assert one.box.numbers() == [NEVER - 2, NEVER - 1] and record.kept == [NEVER - 1, NEVER]
    for _ in range(3):
        assert broken(one) and one.broken
    assert one.box.next_seq == NEVER and len(one.box) == 2 and record.kept[-1] == NEVER


def test_keys_that_refuse_end_the_boot():
    one, record = sealer()
    one._keys.seal(3, b"something else took the numbers up to 3")
    assert broken(one) and one.broken and not len(one.box) and not record.kept


def test_a_frame_that_cannot_be_packed_costs_no_number():
    one, _ = sealer()
    try:
        one.seal(frames.KIND_VITALS, VITALS, -1)
        raise AssertionError("sealed")
    except frames.LocalError:
        pass
    assert not one.broken and not broken(one) and one.box.numbers() == [0]
