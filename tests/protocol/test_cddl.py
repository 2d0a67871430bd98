"""What the code makes is what the schema says: every vector, every message and frame of the other tests."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from protocol import attest, batch, cbor, cobs, frames, identity, messages
from protocol.errors import CborError, FrameError
from tests.protocol.cddl_schema import FRAME_RULES, TEXT, entry_rule, frame_rule, message_rule, why_not

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"


LATER = "with a key that is not known"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def examples() -> "list[tuple[str, str, str]]":
    """(rule, name, hex) of everything in the vectors that has a rule."""
    found = [(one["rule"], one["name"], one["plaintext"]) for one in load("frames.json")["frames"]]
    found += [(one["rule"], one["name"], one["message"]) for one in load("messages.json")["clear"]]
    found = [one for one in found if LATER not in one[1]]
    sealed = load("sealed.json")
    for one in sealed["up"]:
        found.append(("sealed", f"frame {one['seq']}", one["sealed"]))
        found.append(
            ("data-message", f"frame {one['seq']}", cobs.decode(bytes.fromhex(one["wire"])[:-1]).hex())
        )
    found += [("downlink-message", "downlink", one["sealed"]) for one in sealed["down"]["messages"]]
    found.append(("pair-signed", "pair signature", load("messages.json")["pair"]["signed"]))
    with_it = load("messages.json")["pair_with_authority"]["signed"]
    found.append(("pair-signed-with-it", "with an authority", with_it))
    held = load("messages.json")["pair_with_button"]["signed"]
    found.append(("pair-signed-held", "with the button", held))
    batches = load("batch.json")
    for entry in batches["entries"]:
        found.append((entry_rule(bytes.fromhex(entry)), "entry", entry))
    found += [(one["rule"], one["name"], one["bytes"]) for one in batches["examples"]]
    manifest = load("orders.json")["manifest"]
    found.append((manifest["rule"], manifest["name"], manifest["signed"]))
    for one in load("orders.json")["signed"]:
        found += [("order-signed", one["name"], one["signed"])]
        found += [(one["frame_rule"], one["name"], one["plaintext"])]
    found += [(one["rule"], one["name"], one["record"]) for one in load("records.json")["records"]]
    remote = load("remote.json")
    for sort in ("command", "answer"):
        found += [(one["rule"], one["name"], one[sort]) for one in remote[sort + "s"]]
        found.append((f"sealed-{sort}", f"sealed {sort}", remote[f"sealed_{sort}"]))
    found.append(("order-signed", "order of a command", remote["order_signed"]))
    for step in load("session.json")["steps"]:
        found.append((step["rule"], step["what"], step["message"]))
        if "plaintext" in step:
            found.append((FRAME_RULES[step["kind"]], step["what"], step["plaintext"]))
    return found


@pytest.mark.parametrize(("rule", "name", "data"), examples())
def test_each_vector_is_valid(rule: str, name: str, data: str) -> None:
    assert why_not(rule, bytes.fromhex(data)) is None


def test_every_kind_and_clear_message_is_among_the_vectors() -> None:
    there = {rule for rule, _, _ in examples()}
    assert set(FRAME_RULES.values()) <= there
    assert {name.replace(" ", "-") for name in messages.MSG_NAMES.values()} <= there


def test_keys_that_are_not_known_are_valid() -> None:
    later = [(one["rule"], one["message"]) for one in load("messages.json")["clear"] if LATER in one["name"]]
    later += [
        (one["rule"], one["plaintext"]) for one in load("frames.json")["frames"] if LATER in one["name"]
    ]
    assert {rule for rule, _ in later} == {"solicit", "event-frame", "flow-frame"}
    for rule, message in later:
        assert why_not(rule, bytes.fromhex(message), TEXT) is None
        assert why_not(rule, bytes.fromhex(message)) is not None
    for rule, name, data in examples():
        assert why_not(rule, bytes.fromhex(data), TEXT) is None, name
        if rule.endswith("-frame"):
            assert why_not("frame", bytes.fromhex(data), TEXT) is None, name


# Ranges that ascend within 32 bits are more than CDDL can say.
BEYOND_CDDL = {
    "loss of overlapping ranges",
    "ack beyond 32 bits",
    "boot with a boot stated twice",
    "boot with statements newest first",
    "boot with boots stated alone and together",
    "boot with a summary of no boots",
    "boot with a statement of boot 0",
    "boot with the previous boot among the earlier ones",
}


def test_malformed_frames_are_invalid() -> None:
    refused = 0
    for one in load("frames.json")["malformed"]:
        data = bytes.fromhex(one["plaintext"])
        try:
            kind = cbor.loads(data)[0]
        except (CborError, KeyError):
            continue  # what CBOR itself refuses never reaches a schema
        if one["name"] not in BEYOND_CDDL:
            assert why_not(FRAME_RULES.get(kind, "other-frame"), data) is not None, one["name"]
            refused += 1
    assert refused > 15


def recorded(monkeypatch: pytest.MonkeyPatch, module: Any, function: str) -> "list[bytes]":
    """Results of packing, or arguments of framing, while other tests run."""
    made: list[bytes] = []
    real: Callable[..., bytes] = getattr(module, function)

    def record(*args: Any) -> bytes:
        result = real(*args)
        made.append(args[0] if function == "encode" else result)
        return result

    monkeypatch.setattr(module, function, record)
    return made


def run_tests_of(name: str) -> None:
    module = import_module(f"tests.both.{name}")
    for test in sorted(vars(module)):
        if test.startswith("test_"):
            getattr(module, test)()


def test_all_messages_of_the_session_tests_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch, cobs, "encode")
    packed = recorded(monkeypatch, frames, "pack")
    run_tests_of("test_session")
    kinds: dict[str, int] = {}
    for message in set(made):
        rule = message_rule(message)
        assert why_not(rule, message) is None, (rule, message.hex())
        kinds[rule] = kinds.get(rule, 0) + 1
    assert {
        "hello",
        "welcome",
        "data-message",
        "downlink-message",
        "pair-request",
        "pair-reply",
        "solicit",
    } <= set(kinds)
    assert len(packed) > 100
    for plaintext in set(packed):
        assert why_not(frame_rule(plaintext), plaintext) is None, plaintext.hex()


def test_frames_that_pass_our_checks_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch, frames, "pack")
    run_tests_of("test_frames")
    passed = 0
    for plaintext in set(made):
        try:
            frames.unpack(plaintext)
        except FrameError:
            continue
        passed += 1
        assert why_not(frame_rule(plaintext), plaintext, TEXT) is None, plaintext.hex()
    assert passed > 20


def test_what_is_signed_or_derived_has_its_rule() -> None:
    key, eight, boot = bytes(32), bytes(8), bytes(12)
    assert why_not("attested", attest.attested_message(eight, boot, 0, 64, key)) is None
    assert why_not("leaf", attest.leaf(boot, 5, b"\x83")) is None
    assert why_not("pair-signed", identity.pair_message(key, key, key, key, bytes(16))) is None
    for authority in ([], [key, key]):
        both = identity.pair_message(key, key, key, key, bytes(16), authority, True)
        assert why_not("pair-signed-with-it-held", both) is None
    assert why_not("boot-info", cbor.dumps(["vitalwire/1 boot", eight, eight, boot])) is None
    assert why_not("external-aad", cbor.dumps([1, 0, boot])) is None


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("solicit", messages.solicit(2)),
        ("welcome", messages.welcome(1, bytes(8), bytes(32), bytes(15))),
        ("hello", messages.hello(messages.hello_body(1, bytes(8), bytes(16), 0, []), bytes(16))),
        ("identity-entry", batch.identity_entry(bytes(8), bytes(31), bytes(32))),
        ("frame-entry", batch.frame_entry(bytes(8), bytes(12), 1 << 32, b"", 0)),
        ("sealed", cbor.dumps([bytes.fromhex("a1010a"), {5: b"\0"}, bytes(20)])),
        ("sealed", cbor.dumps([bytes.fromhex("a10101"), {6: b"\0"}, bytes(20)])),
    ],
)
def test_the_schema_refuses(rule: str, data: bytes) -> None:
    assert why_not(rule, data) is not None
