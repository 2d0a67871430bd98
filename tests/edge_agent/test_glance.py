"""What is told at a glance is what decoding tells; what is not is decoded."""

import random

import pytest

from edge_agent.nodes.glance import glance, uint
from protocol import cbor, frame_schema, frames
from protocol.errors import FrameError

WAVE = {1: 0, 2: 250, 3: 4_000_000, 4: 1526, 5: 2, 6: bytes(range(200)), 15: 2}
VITALS = {1: 720, 2: [833, 900], 3: 978, 4: 720, 5: 210, 6: 95, 7: 96, 8: 4, 15: 2, 16: 2}
SOUND = [
    (frames.KIND_WAVE, WAVE),
    (frames.KIND_WAVE, {**WAVE, 6: b"x", 7: 7, 8: 70_000, 9: 1, 10: 3}),
    (frames.KIND_WAVE, {**WAVE, 6: bytes(3000)}),
    (frames.KIND_VITALS, VITALS),
    (frames.KIND_VITALS, {}),
    (frames.KIND_VITALS, {2: [], 8: 511}),
    (frames.KIND_VITALS, {2: [1, 24, 300, 65535, 5, 6, 7, 8], 3: 1000}),
]


def decoded(plaintext: bytes) -> tuple[int, int, None] | None:
    """Kind and time, when decoding finds the frame sound and knows all of it."""
    try:
        kind, t_us, body = frames.unpack(plaintext)
    except FrameError:
        return None
    unknown = frame_schema.unknown(kind, body) != (False, 0) or frame_schema.unknown_meanings(kind, body)
    return None if unknown else (kind, t_us, None)


@pytest.mark.parametrize("kind, body", SOUND)
@pytest.mark.parametrize("t_us", [0, 23, 24, 255, 65536, (1 << 32) - 1, 1 << 32, frames.T_END - 1])
def test_sound_waves_and_vitals_are_told_at_a_glance(kind, body, t_us):
    assert glance(cbor.dumps([kind, t_us, body])) == (kind, t_us, None)


@pytest.mark.parametrize(
    "kind, body",
    [
        (frames.KIND_WAVE, {**WAVE, 1: 4}),
        (frames.KIND_WAVE, {**WAVE, 5: 1}),
        (frames.KIND_WAVE, {**WAVE, 15: 9}),
        (frames.KIND_WAVE, {**WAVE, 7: 8}),
        (frames.KIND_WAVE, {**WAVE, 11: 1}),
        (frames.KIND_WAVE, {**WAVE, 2: 0}),
        (frames.KIND_WAVE, {**WAVE, 6: b""}),
        (frames.KIND_WAVE, {key: WAVE[key] for key in WAVE if key != 4}),
        (frames.KIND_VITALS, {**VITALS, 3: 1001}),
        (frames.KIND_VITALS, {**VITALS, 6: 101}),
        (frames.KIND_VITALS, {**VITALS, 2: [0]}),
        (frames.KIND_VITALS, {2: [1] * 65}),
        (frames.KIND_VITALS, {2: [1] * 9}),
        (frames.KIND_VITALS, {**VITALS, 9: 1}),
        (frames.KIND_STATUS, {}),
    ],
)
def test_what_is_wrong_or_not_known_is_decoded(kind, body):
    assert glance(cbor.dumps([kind, 5, body])) is None


def test_a_glance_never_accepts_what_decoding_does_not():
    chance = random.Random(5)
    seen = 0
    for _ in range(30_000):
        kind, body = chance.choice(SOUND)
        plaintext = bytearray(cbor.dumps([kind, chance.choice([1, 300, 1 << 40]), body]))
        for _ in range(chance.randrange(3)):
            at = chance.randrange(min(len(plaintext), 60))
            what = chance.randrange(3)
            if what == 0:
                plaintext[at] = chance.randrange(256)
            elif what == 1:
                del plaintext[at]
            else:
                plaintext.insert(at, chance.randrange(256))
        found = glance(bytes(plaintext))
        if found is not None:
            seen += 1
            assert decoded(bytes(plaintext)) == found, plaintext.hex()
    assert seen > 5_000


def test_numbers_have_their_shortest_form_only():
    import re

    for least, most in [(0, 0), (1, 23), (5, 300), (24, 255), (100, 70_000), (1, (1 << 53) - 1)]:
        pattern = re.compile(uint(least, most), re.DOTALL)
        for n in {
            0,
            1,
            23,
            24,
            99,
            100,
            255,
            256,
            299,
            300,
            301,
            65535,
            65536,
            70_000,
            70_001,
            1 << 32,
            least,
            most,
        }:
            encoded = cbor.dumps(n)
            assert bool(pattern.fullmatch(encoded)) == (least <= n <= most), (least, most, n)
        assert not pattern.fullmatch(b"\x18\x17") and not pattern.fullmatch(b"\x19\x00\xff")
