"""Each byte is in one line; kinds, numbers and records have their words; what is wrong has a place."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_agent import keys as key_files
from protocol import cbor, cobs, cose, frame_names, frames, messages
from protocol.frame_rules import BODIES
from tests.both.sealing import seal_one
from tests.tools.test_inspect import as_json, everything
from tools.dissect import capture
from tools.dissect.capture import Keys, Part
from tools.dissect.stuffing import places
from tools.inspect import command
from tools.vectors.connection import session_vectors
from tools.vectors.frames import frame_vectors
from tools.vectors.keys import AGENT, BOOT_ID, KEYS, NODE, party
from tools.vectors.orders import order_vectors
from tools.vectors.records import record_vectors
from tools.vectors.session import message_vectors

FRAMES = {one["name"]: bytes.fromhex(one["plaintext"]) for one in frame_vectors()["frames"]}
AUTHORITY = order_vectors()["authority"]["id"]


def untiled(part: Part) -> str:
    """The first gap or overlap of a part's lines; "" when each of its bytes is in exactly one."""
    at = 0
    for line in part.lines:
        if line.offset != at or line.length < 1:
            return f"{line} where {at} is next"
        at += line.length
    return "" if at == len(part.data) else f"the lines end at {at} of {len(part.data)}"


def taken(data: bytes, keys: "Keys | None" = None) -> Part:
    return capture.take_apart(data, capture.recognise(data), keys or Keys())


@pytest.mark.parametrize(("name", "rule", "data"), everything())
def test_every_byte_is_in_exactly_one_line(name: str, rule: str, data: bytes) -> None:
    part = taken(data)
    assert untiled(part) == "" and not part.all_problems()


@pytest.mark.parametrize("name", ["vitals", "bp, measured", "command, mark", "loss", "log, a crash"])
def test_every_changed_byte_of_a_frame_is_placed_or_makes_another_sound_frame(name: str) -> None:
    data = FRAMES[name]
    for at in range(len(data)):
        for mask in (1, 0x20, 0x80, 0xFF):
            changed = bytearray(data)
            changed[at] ^= mask
            part = capture.take_apart(bytes(changed), "frame", Keys())
            assert untiled(part) == "", (at, mask)
            for problem in part.problems:
                assert problem.why and problem.layer and 0 <= problem.offset <= len(data), (at, mask)
            if not part.problems:
                frames.unpack(bytes(changed))


def test_the_changed_byte_itself_is_named_where_a_value_leaves_its_range() -> None:
    data = FRAMES["bp, measured"]
    at = data.index(b"\x09\x02") + 1
    part = taken(data[:at] + b"\x20" + data[at + 1 :])
    assert [problem.offset for problem in part.problems] == [at]
    assert "cuff-size: -1 where an integer from 0 to 255 belongs" in part.problems[0].why


def test_frames_that_only_the_order_of_a_list_makes_wrong() -> None:
    evidence = frames.pack(5, 0, {1: 32, 2: 3, 9: [[5, 2], [0, 1]]})
    part = taken(evidence)
    assert part.problems and evidence[part.problems[0].offset] == 0x82


@pytest.mark.parametrize("kind", sorted(BODIES))
def test_every_kind_and_key_has_its_rule(kind: int) -> None:
    """Of every frame of the vectors: its rule, and a rule or a bound for every key that is known."""
    own = [data for data in FRAMES.values() if cbor.loads(data)[0] == kind]
    assert own
    for data in own:
        seen, _ = as_json(data)
        assert seen["what"] == frame_names.KIND_NAMES[kind].replace("_", "-") + "-frame"
        keys = [item for item in seen["items"] if item["depth"] == 2 and item["name"].split(" ")[0].isdigit()]
        assert keys or cbor.loads(data)[2] == {}
        unknown = [item["name"] for item in keys if item["meaning"] == "not known here; carried"]
        assert len(unknown) == sum(key not in BODIES[kind] for key in cbor.loads(data)[2])


# frame or record, rule, what must be said of its number
WORDS = [
    ("bp, measured", "systolic", "mmHg"),
    ("bp, a leak", "bp-result", "leak"),
    ("event, an alarm begins", "event-state", "began"),
    ("event, an alarm begins", "priority", "high"),
    ("loss, acknowledged elsewhere", "loss-reason", "acknowledged by another agent"),
    ("log, a crash", "log-level", "crash"),
    ("answer, interlock", "result", "interlock"),
    ("command, mark", "operation", "mark"),
    ("config, mains", "mains-hz", "Hz"),
    ("update, apply", "update-step", "apply"),
    ("wave, cuff pressure", "channel", "cuff pressure"),
    ("vitals", "heart-rate", "/min"),
]


@pytest.mark.parametrize(("name", "rule", "words"), WORDS)
def test_numbers_have_their_words(name: str, rule: str, words: str) -> None:
    seen, _ = as_json(FRAMES[name])
    assert any(rule in item["rules"] and words in item["meaning"] for item in seen["items"]), seen["items"]


def test_unknown_numbers_kinds_and_types_are_not_faults() -> None:
    unknown = FRAMES["event of an unknown code, with a key that is not known"]
    assert "not known here" in str(as_json(unknown)[0]["items"])
    for data in (cbor.dumps({0: 99, 1: 1}), cobs.encode(cbor.dumps({0: 99, 5: "new"}))):
        seen, code = as_json(data)
        assert code == 0 and "counts and ignores it" in str(seen)


def test_orders_say_who_signed_and_who_should_have() -> None:
    signed = bytes.fromhex(order_vectors()["signed"][0]["plaintext"])
    assert any(f"signed by authority {AUTHORITY}" in fact for fact in as_json(signed)[0]["facts"])
    measure = frames.pack(34, 0, {1: bytes(8), 2: frames.OP_MEASURE_BP, 4: 1, 8: 1})
    assert any("has none" in fact for fact in as_json(measure)[0]["facts"])
    assert any("needs no authority" in fact for fact in as_json(FRAMES["command, mark"])[0]["facts"])


SAID_OF = {
    "assignment": "is person",
    "manual": "typed by",
    "consent": "have the data of person",
    "erasure": "is erased",
}


def test_records_of_people_are_read_and_checked(tmp_path: Path) -> None:
    for name in ("signer", "other"):
        who = party("authority") if name == "signer" else NODE
        key_files.write_public(tmp_path / f"{name}.pub", "agent", key_files.PublicKeys(*who.public()))
    for one in record_vectors()["records"]:
        data = bytes.fromhex(one["record"])
        said = SAID_OF[one["name"].split(",")[0].split()[0]]
        seen, code = as_json(data)
        assert code == 0 and any(said in fact for fact in seen["facts"])
        if one["by"] == party("authority").id.hex():
            assert as_json(data, "--signer", str(tmp_path / "signer.pub"))[1] == 0
            wrong, code = as_json(data, "--signer", str(tmp_path / "other.pub"))
            assert code == 1 and "not of this key" in wrong["problems"][0]["why"]


def test_a_manifest_is_read_and_checked(tmp_path: Path) -> None:
    key_files.write_public(tmp_path / "maker.pub", "agent", key_files.PublicKeys(*AGENT.public()))
    fields = {1: 1, 2: "update", 3: "0.2.0", 4: "esp32_devkit", 5: [["main.py", 1234, bytes(32)]]}
    manifest = cose.sign1(AGENT, cbor.dumps(fields))
    seen, code = as_json(manifest, "--signer", str(tmp_path / "maker.pub"))
    assert code == 0 and seen["what"] == "signed-manifest" and "is of the key" in seen["facts"][0]
    assert as_json(cbor.dumps(fields))[0]["what"] == "manifest"
    swapped = manifest.replace(b"main.py", b"evil.py")
    wrong, code = as_json(swapped, "--signer", str(tmp_path / "maker.pub"))
    assert code == 1 and wrong["problems"][0]["cause"] == "bad_signature"


def test_a_whole_connection_opens_with_the_agents_key(tmp_path: Path) -> None:
    steps = session_vectors()["steps"]
    up = b"".join(bytes.fromhex(step["wire"]) for step in steps if step["from"] == "node")
    down = b"".join(bytes.fromhex(step["wire"]) for step in steps if step["from"] == "agent")
    part = capture.take_apart(up, capture.STREAM, Keys(agent=AGENT))
    assert not part.all_problems() and len(part.parts) == sum(step["from"] == "node" for step in steps)
    opened = [inner for message in part.parts for inner in message.parts]
    assert opened and all(inner.title.startswith("frame ") for inner in opened)
    assert all(untiled(one) == "" for one in [*part.parts, *opened])
    assert not capture.take_apart(down, capture.STREAM, Keys(agent=AGENT)).all_problems()


def test_an_alarm_from_before_the_connection_is_called_past() -> None:
    hello = next(one["message"] for one in message_vectors()["clear"] if one["name"] == "hello")
    alarm = FRAMES["event, an alarm begins"]
    said = [messages.data(0, seal_one(KEYS.K, BOOT_ID, number, alarm)) for number in (6, 69, 70)]
    stream = b"".join(map(cobs.encode, (bytes.fromhex(hello), *said)))
    keys = Keys(agent=AGENT, peers=lambda _: key_files.PublicKeys(*NODE.public()))
    frames_in = [
        frame for part in capture.take_apart(stream, capture.STREAM, keys).parts[1:] for frame in part.parts
    ]
    assert [any("before the connection" in fact for fact in one.facts) for one in frames_in] == [
        True,
        True,
        False,
    ]


def test_a_changed_byte_of_a_sealed_message_is_named_exactly() -> None:
    steps = [step for step in session_vectors()["steps"] if step["from"] == "node"]
    up = [bytes.fromhex(step["wire"]) for step in steps if step["rule"] != "pair-reply"]
    ready, sealed = b"".join(up[:2]), up[2]
    for at in range(len(sealed) - 1):
        changed = bytearray(sealed)
        changed[at] ^= 0x10
        stream = ready + bytes(changed)
        part = capture.take_apart(stream, capture.STREAM, Keys(agent=AGENT))
        found = [holder.place_of(problem) for holder, problem in part.all_problems()]
        assert len(ready) + at in found, at


def test_json_has_for_every_line_its_place_bytes_rule_meaning_and_error() -> None:
    seen, code = as_json(frames.pack(3, 0, {3: 1001}))
    assert code == 1
    keys = {"offset", "capture_offset", "length", "depth", "hex", "name", "rule", "rules", "value", "meaning"}
    for item in seen["items"]:
        assert set(item) == keys | {"error"}
        assert item["length"] * 2 == len(item["hex"])
    (wrong,) = [item for item in seen["items"] if item["error"]]
    assert wrong["rule"] == "spo2" and wrong["offset"] == 4 and "1001 where" in wrong["error"]
    assert set(seen) == {
        *("what", "rule", "offset", "capture_offset", "length", "ok", "unchecked"),
        *("items", "problems", "facts", "parts"),
    }
    text = (Path(__file__).resolve().parents[2] / "docs" / "inspect.md").read_text("utf-8")
    for key in {*seen, *seen["items"][0], *seen["problems"][0]}:
        assert f"`{key}`" in text, f"docs/inspect.md says nothing of {key}"


@pytest.mark.parametrize(
    ("option", "no_color", "terminal", "coloured"),
    [
        ("auto", "", True, True),
        ("auto", "1", True, False),
        ("auto", "", False, False),
        ("always", "1", False, True),
        ("never", "", True, False),
    ],
)
def test_colour(option: str, no_color: str, terminal: bool, coloured: bool) -> None:
    result = CliRunner(env={"NO_COLOR": no_color}).invoke(
        command, ["-", "--color", option], input=messages.solicit(1), color=terminal
    )
    assert result.exit_code == 0 and ("\x1b[" in result.output) == coloured


CAUSES = [
    (frames.pack(3, 0, {3: 1001}), "malformed_frame"),
    (messages.solicit(1)[:-1], "malformed_message"),
    (b"\x83\x43\xa1\x01\x0a\xa1\x06\x42\x00\x01\x48" + bytes(8), "bad_header"),
    (cobs.encode(messages.solicit(1)) + b"\x05a\0" + cobs.encode(messages.solicit(1)), "malformed_cobs"),
    (cbor.dumps([1, bytes(8), bytes(32), bytes(32)]), "bad_identity"),
]


@pytest.mark.parametrize(("data", "cause"), CAUSES, ids=[cause for _, cause in CAUSES])
def test_a_problem_has_the_name_that_it_is_counted_by(data: bytes, cause: str) -> None:
    seen, code = as_json(data)
    found = seen["problems"] + [problem for part in seen["parts"] for problem in part["problems"]]
    assert code == 1 and [problem["cause"] for problem in found] == [cause]


def test_exit_status() -> None:
    def status(data: Any) -> int:
        return CliRunner().invoke(command, ["-"], input=data).exit_code

    assert [status(data) for data in (messages.solicit(1), messages.solicit(1)[:-1], "")] == [0, 1, 2]
    assert json.loads(CliRunner().invoke(command, ["-", "--json"], input=messages.solicit(1)).output)["ok"]


def test_stuffing_places_every_byte() -> None:
    rng = random.Random(4)
    for size in (1, 2, 253, 254, 255, 256, 600):
        for zeros in (0, 2, 40):
            message = bytearray(rng.randrange(1, 256) for _ in range(size))
            for _ in range(zeros):
                message[rng.randrange(size)] = 0
            encoded = cobs.encode(message)[:-1]
            where = places(encoded, 7)
            assert len(where) == size + 1 and where == sorted(where)
            assert all(encoded[at - 7] == byte or byte == 0 for at, byte in zip(where, message, strict=False))
