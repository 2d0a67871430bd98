"""Records on flash: a power cut leaves the old or the new, and damage is found."""

from firmware.flash import FlashError
from tests.both.node_memory import Medium, PowerCut, on, raises


def test_a_record_reads_back():
    records = on(Medium())
    assert records.read("a") is None
    for payload in (b"", b"x", bytes(range(256)) * 8):
        records.write("a", payload)
        assert records.read("a") == payload
    assert raises(FlashError, lambda: records.write("a", bytes(2049))).cause == "too_long"


def test_a_power_cut_between_any_two_steps_leaves_the_old_or_the_new():
    steps = 0
    seen = set()
    while True:
        medium = Medium()
        records = on(medium)
        records.write("a", b"the old one")
        medium.steps = steps
        try:
            records.write("a", b"and the new one")
            finished = True
        except PowerCut:
            finished = False
        medium.steps = None
        after = records.read("a")
        assert after in (b"the old one", b"and the new one")
        seen.add(after)
        records.write("a", b"afterwards")
        assert records.read("a") == b"afterwards"
        if finished:
            assert after == b"and the new one"
            break
        steps += 1
    assert steps > 8 and len(seen) == 2


def test_damage_at_any_byte_is_found():
    medium = Medium()
    records = on(medium)
    records.write("a", b"payload")
    whole = medium.files["state/a"]
    for i in range(len(whole)):
        medium.files["state/a"] = whole[:i] + bytes((whole[i] ^ 4,)) + whole[i + 1 :]
        assert raises(FlashError, lambda: records.read("a")).cause == "damaged"
        medium.files["state/a"] = whole[:i]
        assert raises(FlashError, lambda: records.read("a")).cause == "damaged"
