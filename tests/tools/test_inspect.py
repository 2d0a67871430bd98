"""`vitalwire inspect` knows every vector, says where and why a bad one is bad, and has no traceback."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_agent import keys as key_files
from protocol import batch, cbor, cobs, frames, messages
from tests.both.sealing import seal_one
from tools.dissect import capture, cddl
from tools.dissect.capture import Keys
from tools.inspect import command
from tools.vectors.batches import batch_vectors
from tools.vectors.frames import frame_vectors, plaintexts
from tools.vectors.keys import AGENT, BOOT_ID, COLLECTOR, KEYS, NODE
from tools.vectors.orders import order_vectors
from tools.vectors.records import record_vectors
from tools.vectors.session import message_vectors, sealed_vectors

BATCHES = {one["name"]: bytes.fromhex(one["bytes"]) for one in batch_vectors()["examples"]}


def inspect(data: "bytes | str", *options: str) -> Result:
    result = CliRunner().invoke(command, ["-", *options], input=data)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def as_json(data: "bytes | str", *options: str) -> "tuple[Any, int]":
    result = inspect(data, "--json", *options)
    return json.loads(result.output), result.exit_code


def everything() -> "list[tuple[str, str, bytes]]":
    """(name, rule, bytes) of all vectors that are meant to be recognised."""
    found = [(one["name"], one["rule"], bytes.fromhex(one["plaintext"])) for one in frame_vectors()["frames"]]
    found += [(one["name"], one["rule"], bytes.fromhex(one["message"])) for one in message_vectors()["clear"]]
    for one in sealed_vectors()["up"][:2]:
        found.append((f"data {one['seq']}", "data-message", messages.data(0, bytes.fromhex(one["sealed"]))))
    for one in sealed_vectors()["down"]["messages"]:
        found.append(("downlink", "sealed", bytes.fromhex(one["sealed"])))
    for one in order_vectors()["signed"]:
        found.append((one["name"], one["frame_rule"], bytes.fromhex(one["plaintext"])))
    for one in record_vectors()["records"]:
        found.append((one["name"], one["rule"], bytes.fromhex(one["record"])))
    rules = {one["name"]: one["rule"] for one in batch_vectors()["examples"]}
    found += [(name, rules[name], data) for name, data in BATCHES.items()]
    return found + [("entry", "", bytes.fromhex(entry)) for entry in batch_vectors()["entries"]]


@pytest.mark.parametrize(("name", "rule", "data"), everything())
def test_every_vector_is_recognised_and_covered(name: str, rule: str, data: bytes) -> None:
    seen, code = as_json(data)
    assert code == 0 and seen["ok"] and not seen["problems"]
    assert not rule or seen["what"] == rule
    covered = {at for item in seen["items"] for at in range(item["offset"], item["offset"] + item["length"])}
    assert covered == set(range(len(data)))
    for item in seen["items"]:
        assert data[item["offset"] :].startswith(bytes.fromhex(item["hex"]))
    assert inspect(data).exit_code == 0


def test_hex_in_any_layout_is_read() -> None:
    data = messages.solicit(1)
    for text in (data.hex(), data.hex(" "), data.hex(":").upper(), "0x" + data.hex() + "\n"):
        assert as_json(text)[0]["what"] == "solicit"


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(messages.solicit(1))
    assert "solicit" in CliRunner().invoke(command, [str(tmp_path / "x.bin")]).output


@pytest.mark.parametrize(
    ("text", "said"), [("abc", "3 hex digits"), ("", "nothing in it"), (" \n", "nothing in it")]
)
def test_what_cannot_be_read(text: str, said: str) -> None:
    result = inspect(text)
    assert result.exit_code == 2 and said in result.output


def test_a_missing_file() -> None:
    result = CliRunner().invoke(command, ["/nowhere/at/all"])
    assert result.exit_code == 2 and "No such file" in result.output


@pytest.mark.parametrize("source", ["-", "file"])
def test_a_source_without_end_is_not_read_for_ever(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = messages.solicit(1)
    (tmp_path / "file").write_bytes(data)
    path = source if source == "-" else str(tmp_path / source)
    for most, code in ((len(data), 0), (len(data) - 1, 2)):
        monkeypatch.setattr("tools.inspect.MAX_BYTES", most)
        result = CliRunner().invoke(command, [path], input=data)
        assert result.exit_code == code and ("more than 0 MiB" in result.output) == bool(code)


def test_an_unknown_rule_is_named() -> None:
    result = inspect(b"\x00", "--as", "wawe-frame")
    assert result.exit_code == 2 and "wawe-frame" in result.output


# Each a byte that is wrong, with the offset and words that must be said.
BAD = [
    (frames.pack(3, 0, {3: 1001}), 5, "spo2: 1001 where an integer from 0 to 1000 belongs"),
    (frames.pack(3, 0, {1: 653})[:-1], 7, "cut off"),
    (cbor.dumps([3, 0, {}]) + b"\xff", 4, "1 byte after the item"),
    (cbor.dumps([2, 0, {1: 0, 2: 1, 3: 1, 4: 1, 5: 1}]), 4, "key 6 (wave-data) is missing"),
    (
        cbor.dumps([2, 0, {1: 0, 2: 9, 3: 1, 4: 1, 5: 2, 6: b"\x12\x00"}]),
        16,
        "cannot hold 9 predicted samples",
    ),
    (cbor.dumps([7, 0, {1: [[0, 5, 1], [4, 1, 1]]}]), 5, "ascending"),
    (cbor.dumps([1, 0]), 3, "is missing"),
    (bytes.fromhex("830300a1011900ff"), 5, "shortest"),
    (bytes.fromhex("830300a202000100"), 6, "out of order"),
    (messages.welcome(1, bytes(8), bytes(31), bytes(16)), 16, "x25519-key"),
    (messages.solicit(2), 4, "version: 2 where 1 belongs"),
    (cbor.dumps([bytes.fromhex("a1010a"), {5: b"\0"}, bytes(20)]), 6, "key 5 does not belong here"),
    (batch.identity_entry(bytes(8), bytes(32), bytes(32)), 0, "do not give the node id"),
]


@pytest.mark.parametrize(("data", "offset", "words"), BAD)
def test_where_and_why(data: bytes, offset: int, words: str) -> None:
    seen, code = as_json(data.hex())
    assert code == 1 and not seen["ok"]
    assert any(p["offset"] == offset and words in p["why"] for p in seen["problems"]), seen["problems"]
    text = inspect(data.hex())
    assert text.exit_code == 1 and words in text.output and f"offset {offset} " in text.output


def test_a_stream_with_text_noise_and_a_cut() -> None:
    hello = bytes.fromhex(message_vectors()["clear"][0]["message"])
    data = messages.data(0, seal_one(KEYS.K, BOOT_ID, 5, plaintexts()[3]))
    stream = b"ets Jul 29 2019 12:21:46\r\n\0" + cobs.encode(hello) + b"\x05ab\0\0" + cobs.encode(data)
    at = stream.index(b"\x05ab\0")
    seen, code = as_json(stream + cobs.encode(hello)[:40])
    assert code == 1 and seen["what"] == "stream"
    titles = [part["what"].partition(": ")[2] for part in seen["parts"]]
    assert titles == ["text", "hello", "not COBS", "data-message", "not COBS"]
    assert [part["ok"] for part in seen["parts"]] == [True, True, False, True, True]
    assert seen["parts"][2]["offset"] == seen["parts"][2]["problems"][0]["capture_offset"] == at
    assert "the capture ends inside this message" in seen["parts"][4]["facts"][0]
    assert "POWERON" not in inspect(stream).output and "ets Jul 29" in inspect(stream).output


def test_a_capture_may_begin_and_end_anywhere() -> None:
    """A cut message at an end is remarked, not blamed; in the middle, or alone, it is no message."""
    hello = bytes.fromhex(message_vectors()["clear"][0]["message"])
    one = cobs.encode(hello)
    for cut in range(1, len(one) - 1):
        for stream, verb in ((one[cut:] + one, "begins"), (one + one[:cut], "ends")):
            part = capture.take_apart(stream, "stream", Keys())
            assert not part.all_problems(), cut
            assert any(f"the capture {verb}" in fact for inner in part.parts for fact in inner.facts), cut
        assert capture.take_apart(one + one[cut:] + one, "stream", Keys()).all_problems(), cut
        assert capture.take_apart(one[cut:], "stream", Keys()).all_problems(), cut


def test_a_whole_message_that_breaks_a_rule_is_a_fault_at_either_end() -> None:
    """It was not cut: each of them is complete in its framing and in its CBOR."""
    sound = cobs.encode(messages.solicit(1))
    nested = cbor.dumps([0, 5, b"\xff"])
    for wrong in (messages.solicit(2), cbor.dumps([3, 0, {3: 1001}]), cbor.dumps(5), nested):
        one = cobs.encode(wrong)
        for stream, first in ((one + sound, True), (sound + one, False), (sound + one[:-1], False)):
            seen, code = as_json(stream, "--as", "stream")
            assert code == 1, (wrong, first)
            assert [part["ok"] for part in seen["parts"]] == [not first, first], wrong
            assert not any("inside this message" in fact for part in seen["parts"] for fact in part["facts"])
    cut = cbor.dumps([3, 0, {3: 1001}])[:-1]
    for stream in (cobs.encode(cut) + sound, sound + cobs.encode(cut)[:-1]):
        assert as_json(stream, "--as", "stream")[1] == 0


def test_no_line_moves_the_cursor() -> None:
    said = "\x1b[2J\x9b1A\u202e\n"
    for data in (
        frames.pack(frames.KIND_LOG, 0, {1: frames.LOG_CRASH, 2: said}),
        cbor.dumps([3, 0, {said: said}]),
        frames.pack(frames.KIND_EVENT, 0, {1: 1, 2: 3, frames.EVENT_TEXT: said}),
        b"boot \t text, long enough\r\n\0" + cobs.encode(messages.solicit(1)),
    ):
        lines = inspect(data).output.split("\n")
        assert all(line.isprintable() for line in lines), lines


def test_an_oversize_message_in_a_stream() -> None:
    stream = cobs.encode(messages.solicit(1)) + b"\x01" * 5000 + b"\0" + cobs.encode(messages.solicit(1))
    seen, _ = as_json(stream)
    assert [part["ok"] for part in seen["parts"]] == [True, False, True]
    assert "4096 are the limit" in seen["parts"][1]["problems"][0]["why"]


def test_a_batch_opens_with_the_collectors_key(tmp_path: Path) -> None:
    key_files.create(tmp_path / "other.key", "collector")
    sealed = BATCHES["sealed batch"]
    seen = capture.take_apart(sealed, "sealed-batch", Keys(collector=COLLECTOR))
    assert not seen.all_problems() and seen.parts[0].data == BATCHES["batch"]
    assert "the Merkle root is that of the entries" in seen.parts[0].facts
    wrong, code = as_json(sealed, "--collector-key", str(tmp_path / "other.key"))
    assert code == 1 and "not encrypted to this collector" in wrong["problems"][0]["why"]
    result = inspect(sealed, "--collector-key", str(tmp_path / "none.key"))
    assert result.exit_code == 2 and "no such file" in result.output


@pytest.mark.parametrize(("role", "other"), [("agent", "collector"), ("collector", "agent")])
def test_a_key_of_the_other_role_is_refused(role: str, other: str, tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    key_files.create(path, other)
    refused = inspect(messages.solicit(1), f"--{role}-key", str(path))
    assert refused.exit_code == 2 and f"in the role {other}, not {role}" in refused.output
    headless = path.read_bytes()
    path.write_bytes(headless[headless.index(b"-----BEGIN") :])
    assert inspect(messages.solicit(1), f"--{role}-key", str(path)).exit_code == 0


def test_every_changed_byte_of_an_encrypted_batch_is_found() -> None:
    """And the fields inside are where their ciphertext is: it is a stream cipher."""
    sealed = BATCHES["sealed batch"]
    keys = Keys(collector=COLLECTOR, signer_ed_pub=AGENT.ed_pub)
    inner = capture.take_apart(sealed, "sealed-batch", keys).parts[0]
    assert inner.offset == inner.places[0] == len(sealed) - 16 - len(BATCHES["batch"])
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << at % 8
        part = capture.take_apart(bytes(changed), capture.recognise(bytes(changed)), keys)
        places = [holder.place_of(problem) for holder, problem in part.all_problems()]
        assert places and all(0 <= place <= len(sealed) for place in places), at


def test_a_changed_batch_says_root_count_or_signature(tmp_path: Path) -> None:
    keys = Keys(signer_ed_pub=AGENT.ed_pub)
    fields = cbor.loads(BATCHES["batch"])
    assert not capture.take_apart(BATCHES["batch"], "batch", keys).all_problems()
    swapped = cbor.dumps({1: fields[1], 2: [*fields[2][1:], fields[2][0]]})
    shorter = cbor.dumps({1: fields[1], 2: fields[2][:-1]})
    counts = f"the head counts {len(fields[2])} entries; there are {len(fields[2]) - 1}"
    for changed, words in ((swapped, "Merkle root"), (shorter, counts)):
        found = capture.take_apart(changed, "batch", keys).all_problems()
        assert any(words in problem.why for _, problem in found), found
    found = capture.take_apart(BATCHES["batch"], "batch", Keys(signer_ed_pub=NODE.ed_pub)).all_problems()
    assert [problem.why for _, problem in found] == ["head: the signature is not of this key"]
    key_files.write_public(tmp_path / "c.pub", "collector", key_files.PublicKeys(*COLLECTOR.public()))
    seen, code = as_json(BATCHES["receipt"], "--signer", str(tmp_path / "c.pub"))
    assert code == 0 and any("the signature is of the key" in fact for fact in seen["facts"])
    changed_receipt = BATCHES["receipt"][:-1] + b"\0"
    assert as_json(changed_receipt, "--signer", str(tmp_path / "c.pub"))[1] == 1


def test_a_bad_frame_inside_a_batch_is_found_where_it_is() -> None:
    entry = batch.frame_entry(NODE.id, BOOT_ID, 0, cbor.dumps([3, 0, {3: 1001}]), 0)
    seen, code = as_json(entry)
    assert code == 1 and seen["problems"][0]["offset"] == entry.index(b"\x19\x03\xe9")


def test_colour_on_a_terminal_only() -> None:
    data = messages.solicit(1)
    assert "\x1b[" not in inspect(data).output
    assert "\x1b[" in CliRunner().invoke(command, ["-"], input=data, color=True).output


def test_mutations_never_end_in_a_traceback() -> None:
    rng = random.Random(1)
    keys = Keys(collector=COLLECTOR, signer_ed_pub=AGENT.ed_pub)
    rules = sorted(cddl.load().rules)
    for _, _, data in everything():
        for _ in range(12):
            changed = bytearray(data)
            for _ in range(rng.randrange(1, 4)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            cut = bytes(changed[: rng.randrange(1, len(changed) + 1)])
            for sample in (bytes(changed), cut, cobs.encode(changed)):
                part = capture.take_apart(sample, capture.recognise(sample), keys)
                for holder, problem in part.all_problems():
                    assert 0 <= problem.offset <= len(part.data) or holder is not part
            capture.take_apart(cut, rng.choice(rules), keys)


def test_every_rule_of_the_schema_is_known_to_its_reader() -> None:
    rules = cddl.load().rules
    prelude = {"uint", "int", "bstr", "tstr", "bool", "true", "nil", "any"}

    def names(node: Any) -> "set[str]":
        if isinstance(node, cddl.Ref):
            return {node.name}
        inner = vars(node).values() if hasattr(node, "__dict__") else ()
        found: set[str] = set()
        for value in inner:
            many = (
                value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            )
            for one in many:
                found |= names(one)
        return found

    assert {name for node in rules.values() for name in names(node)} <= set(rules) | prelude
