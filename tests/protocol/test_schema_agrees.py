"""The table in frame_rules.py and the schema in CDDL say the same: of each key, whatever is put there."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol import cbor, frame_rules, frame_schema, frames, nomenclature
from protocol.errors import CborError, FrameError
from protocol.frame_names import KIND_NAMES
from protocol.frame_rules import BODIES, I63, SETTINGS, U32
from protocol.session_agent import MAX_DOWN_PLAINTEXT
from tests.protocol.cddl_schema import FRAME_RULES, why_not

BOOT_ID = (3).to_bytes(4, "big") + bytes(8)
WRONG: "tuple[Any, ...]" = (None, True, -1, b"", b"\1" * 8, "x", [], [1], {}, {1: 1}, {-1: 1}, {"a": 1}, I63)
# More than CDDL can say: that ranges ascend, and statements, too.
GOOD_ITEMS: "dict[str, Any]" = {
    "keys": [bytes(32), bytes(32)],
    "previous": [BOOT_ID, 5, True, 0],
    "map": {},
    "settings": {},
}


def item(kind_of: str, i: int) -> Any:
    """The i-th item of a good list."""
    return {
        "rr": 65_535 if i else 1,
        "channels": [i, "MAX30003", U32, 1],
        "channel numbers": i,
        "limits": [33, 0 if i else 65_535, 65_535],
        "ranges": [3 * i, 2],
        "losses": [3 * i, 2, i % 2 + 1],
        "boot losses": [BOOT_ID, 3 * i, 2, i % 2 + 1],
        "earlier": [2 * i + 1, 2 * i + 2, U32, 0]
        if i % 2
        else [(2 * i + 1).to_bytes(4, "big") + bytes(8), 0, False, 9],
    }[kind_of]


def of_size(kind_of: str, size: int) -> Any:
    """A value of a type that has a size."""
    if kind_of == "bytes":
        return bytes(size)
    if kind_of == "text":
        return "é" * (size // 2) + "x" * (size % 2)
    return [item(kind_of, i) for i in range(size)]


def at_bounds(rule: "frame_rules.Rule") -> "list[Any]":
    """Values that a rule just admits."""
    _, _, kind_of, least, most = rule
    if kind_of == "int":
        return [least, most]
    if kind_of == "bool":
        return [False, True]
    if kind_of in GOOD_ITEMS:
        return [GOOD_ITEMS[kind_of]]
    most = min(most, 300) if kind_of == "losses" else most
    return [of_size(kind_of, least), of_size(kind_of, most)]


def beyond(rule: "frame_rules.Rule") -> "list[Any]":
    """Values that a rule just refuses."""
    _, _, kind_of, least, most = rule
    if kind_of == "int":
        return [value for value in (least - 1, most + 1) if -I63 - 1 <= value <= I63]
    if kind_of in ("bool", *GOOD_ITEMS):
        return {
            "bool": [0, 1],
            "keys": [[bytes(32)], [bytes(32), bytes(31)], [bytes(32), bytes(33)], [bytes(32)] * 3],
            "previous": [
                [BOOT_ID, 5, True],
                [BOOT_ID, 5, 1, 0],
                [BOOT_ID, -1, True, 0],
                [BOOT_ID, 5, True, U32 + 1],
                [BOOT_ID[1:], 5, True, 0],
            ],
            "map": [{-1: 0}, {"a": 0}, {b"": 0}],
            "settings": [{-1: 0}, {"a": 0}],
        }[kind_of]
    found = [of_size(kind_of, most + 1)] if kind_of != "losses" else []
    if least:
        found.append(of_size(kind_of, least - 1))
    return found + {
        "rr": [[0], [65_536], [-1], [True], ["x"]],
        "channels": [
            [[256, "", 1, 1]],
            [[0, "x" * 33, 1, 1]],
            [[0, "", 0, 1]],
            [[0, "", 1, 0]],
            [[0, "", 1, U32 + 1]],
            [[0, "", 1]],
            [[0, "", 1, 1, 1]],
        ],
        "channel numbers": [[256], [-1], [None]],
        "limits": [
            [[33, 0]],
            [[65_536, 0, 0]],
            [[-1, 0, 0]],
            [[33, None, 0]],
            [[33, 65_536, 0]],
            [[33, -1, 0]],
            [[33, 0, 65_536]],
            [[33, 0, -1]],
        ],
        "ranges": [[[0, 0]], [[-1, 1]], [[U32 + 1, 1]], [[0, 1, 1]], [[0]]],
        "losses": [[[0, 0, 1]], [[-1, 1, 1]], [[U32 + 1, 1, 1]], [[0, 1]], [[0, 1, -1]]],
        "boot losses": [[[BOOT_ID[1:], 0, 1, 1]], [[BOOT_ID, 0, 0, 1]], [[BOOT_ID, 0, 1]], [[0, 0, 1, 1]]],
        "earlier": [
            [[0, 2, 0, 0]],
            [[1, 2, 0]],
            [[1, 2, U32 + 1, 0]],
            [[1, 2, 0, True]],
            [[BOOT_ID, 0, 1, 0]],
        ],
    }.get(kind_of, [])


def baselines(kind: int) -> "Iterator[dict[int, Any]]":
    """Sound bodies of a kind: the least, and one for each value that asks for other keys."""
    table = BODIES[kind]
    least = {key: at_bounds(rule)[0] for key, rule in table.items() if rule[1]}
    if kind not in frame_rules.NEEDED:
        yield least
        return
    for key, value, needed in frame_rules.NEEDED[kind]:
        yield {**least, key: value, **{other: at_bounds(table[other])[0] for other in needed}}
        yield {**least, key: table[key][4]}


def agreed(kind: int, body: Any) -> bool:
    """Whether a body is sound: so say, or so say not, both."""
    try:
        plaintext = cbor.dumps([kind, 0, body])
    except CborError:
        return False
    try:
        frame_schema.check(kind, body)
        by_table = ""
    except FrameError as error:
        by_table = str(error)
    by_schema = why_not(FRAME_RULES[kind], plaintext)
    assert (not by_table) == (by_schema is None), (KIND_NAMES[kind], body, by_table, by_schema)
    return not by_table


def places(kind: int) -> "Iterator[tuple[frame_rules.Rule, Any]]":
    """Each rule of a kind, with what puts a value (or, of None for `there`, nothing) under it."""
    for base in baselines(kind):
        for key, rule in BODIES[kind].items():

            def put(value: Any, there: bool = True, base: Any = base, key: int = key) -> Any:
                rest = {other: base[other] for other in base if other != key}
                return {**rest, key: value} if there else rest

            yield rule, put
    if kind == frames.KIND_CONFIG:
        for base in baselines(kind):
            for key, rule in SETTINGS.items():

                def put_setting(value: Any, there: bool = True, base: Any = base, key: int = key) -> Any:
                    return {**base, frames.ORDER_WHAT: {key: value} if there else {}}

                yield rule, put_setting


@pytest.mark.parametrize("kind", sorted(BODIES), ids=lambda kind: KIND_NAMES[kind])
def test_table_and_schema_agree_on_every_key(kind: int) -> None:
    for base in baselines(kind):
        assert agreed(kind, base)
    admitted: dict[str, set[int]] = {}
    for rule, put in places(kind):
        name, required = rule[0], rule[1]
        bounds = at_bounds(rule)
        sound = {i for i, value in enumerate(bounds) if agreed(kind, put(value))}
        admitted[name] = admitted.get(name, set()) | sound
        for value in beyond(rule):
            assert not agreed(kind, put(value)), (name, value)
        for value in WRONG:
            agreed(kind, put(value))
        assert not (agreed(kind, put(None, False)) and required), name
    for rule, _ in places(kind):
        assert admitted[rule[0]] == set(range(len(at_bounds(rule)))), f"{rule[0]}: a bound is refused"


@pytest.mark.parametrize("kind", sorted(BODIES), ids=lambda kind: KIND_NAMES[kind])
def test_a_body_is_a_map_with_unsigned_keys(kind: int) -> None:
    base = next(iter(baselines(kind)))
    for body in (None, [], 5, b"", "x", {**base, -1: 0}, {**base, "a": 0}):
        assert not agreed(kind, body)


def test_as_many_alarm_limits_as_are_taken_fit_with_a_signature() -> None:
    last = (1 << 53) - 1
    body = {1: bytes(8), 4: last, 5: bytes(8), 6: bytes(64), 8: last}
    for count, sound in ((frame_rules.MAX_LIMITS, True), (frame_rules.MAX_LIMITS + 1, False)):
        settings = {**body, 2: {frames.SET_LIMITS: [[65_535, 65_535, 65_535]] * count}}
        assert agreed(frames.KIND_CONFIG, settings) == sound
        assert (len(frames.pack(frames.KIND_CONFIG, last, settings)) <= MAX_DOWN_PLAINTEXT) == sound


def test_every_kind_with_a_body_of_keys_is_in_the_table() -> None:
    assert set(BODIES) == set(KIND_NAMES) - {frames.KIND_ACK}


def test_an_ack_is_what_both_say_it_is() -> None:
    for body, sound in (
        ([0, []], True),
        ([3, [[0, 1], [2, U32 - 1]]], True),
        ([0, [[U32, 1]]], True),
        ([0], False),
        ([-1, []], False),
        ([0, [[0, 0]]], False),
        ([0, [[0, 1, 1]]], False),
        ([0, [[U32 + 1, 1]]], False),
        ([0, [], 0], False),
        ({0: []}, False),
        (None, False),
    ):
        plaintext = cbor.dumps([frames.KIND_ACK, 0, body])
        try:
            frames.unpack(plaintext)
            by_code = True
        except FrameError:
            by_code = False
        assert by_code == sound == (why_not("ack-frame", plaintext) is None), body


def test_ranges_of_quantities_are_those_of_their_keys() -> None:
    compared = 0
    for quantity in nomenclature.QUANTITIES:
        if quantity.least is None or not quantity.kind:
            continue
        _, _, kind_of, least, most = BODIES[quantity.kind][quantity.key]
        if kind_of == "rr":
            least, most = 1, frame_rules.U16
        assert (quantity.least, quantity.most) == (least, most), quantity.name
        compared += 1
    assert compared == 14


def test_only_kinds_that_are_not_known_stay_open() -> None:
    for kind in (*range(60), 1 << 16, 1 << 40, I63):
        for body in (None, {1: 2}, "whatever"):
            is_open = why_not("other-frame", cbor.dumps([kind, 0, body])) is None
            assert is_open == (kind not in KIND_NAMES), kind
    assert why_not("other-frame", cbor.dumps([-1, 0, None])) is not None
