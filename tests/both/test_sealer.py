"""The sealer at the end of its numbers, and when its keys refuse: the boot ends; no number seals twice."""

from firmware.sealer import MAX_TRIES, NEVER, SOON, BootBroken, Sealer
from protocol import frames
from protocol.attest import Attester, verify
from protocol.crypto import run
from protocol.identity import generate_steps
from protocol.outbox import Outbox
from protocol.seal import BootKeys
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


class Short:
    """A method of an object, for which memory does not suffice the next `fails` times."""

    def __init__(self, owner, name, fails):
        self.real = getattr(owner, name)
        self.fails = fails
        setattr(owner, name, self)

    def __call__(self, *args):
        if self.fails:
            self.fails -= 1
            raise MemoryError("allocating 24 bytes")
        return self.real(*args)


def test_a_sealed_frame_that_memory_has_no_place_for_comes_before_the_next():
    for part, name in (("_attester", "add"), ("box", "add")):
        for fails in (1, 2, 3):
            one, record = sealer()
            for _ in range(3):
                one.seal(frames.KIND_VITALS, VITALS)
            short = Short(getattr(one, part), name, fails)
            assert one.seal(frames.KIND_VITALS, VITALS, None, True) == 3
            assert not one.broken and one.box.numbers() == [0, 1, 2] and record.kept[-1] == 3
            while short.fails:
                try:
                    one.seal(frames.KIND_VITALS, VITALS)
                    raise AssertionError("sealed before its turn")
                except MemoryError:
                    pass
            assert one.seal(frames.KIND_VITALS, VITALS) == 4
            assert one.box.numbers() == [0, 1, 2, 3, 4] and record.kept == [1, 2, 3, 4, 5]
            assert [frame[3] for frame in one.box._frames] == [False, False, False, True, False]
            assert one._attester._tree.count == 5 and not one.broken


def test_what_is_attested_is_what_was_held_later():
    one, _ = sealer()
    Short(one.box, "add", 2)
    while one.box.next_seq < 4:
        try:
            one.seal(frames.KIND_VITALS, VITALS)
        except MemoryError:
            pass
    plain = frames.pack(frames.KIND_VITALS, Clock().now_us(), VITALS)
    sealed = [frame[1] for frame in one.box._frames]
    opened = [BootKeys(bytes(16), BOOT_ID).open(frame) for frame in sealed]
    assert opened == [(seq, plain) for seq in range(4)]
    body = run(one._attester.sign_steps(0))
    node = run(generate_steps(bytes(64)))
    assert verify(node.id, node.ed_pub, BOOT_ID, body, [plain] * 4)


def test_a_boot_ends_when_memory_never_has_a_place_for_a_frame():
    one, _ = sealer()
    Short(one._attester, "add", MAX_TRIES)
    one.seal(frames.KIND_VITALS, VITALS)
    for _ in range(MAX_TRIES - 1):
        assert not one.broken
        try:
            one.seal(frames.KIND_VITALS, VITALS)
            raise AssertionError("sealed")
        except MemoryError:
            pass
    assert one.broken and broken(one) and not len(one.box)
