"""The lists of numbers in docs/wire-protocol.md are those of the code: kinds, keys, codes, results."""

import json
import re
from pathlib import Path

import pytest

from protocol import attest, cbor, cobs, frame_names, frames, messages, session_agent, window
from protocol import session_node as node
from protocol.frame_rules import BODIES, FLAGS, SETTINGS
from tools import schema_tables
from tools.fuzz import outcome

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "wire-protocol.md").read_text("utf-8")


def bracketed(after: str) -> str:
    """What stands in the round brackets that `after` opens at its first place in the text."""
    begin = TEXT.index(after) + len(after)
    depth = 1
    for end in range(begin, len(TEXT)):
        depth += {"(": 1, ")": -1}.get(TEXT[end], 0)
        if not depth:
            return TEXT[begin:end]
    raise AssertionError(f"{after} is never closed")


def listed(words: str) -> "dict[int, str]":
    """`1 this, 2 that: explained, 3 more (explained)` by number, without the explanations."""
    found: dict[int, str] = {}
    for one in re.split(r"[,;] (?=(?:\w+: )?(?:bit )?\d+ )", " ".join(words.split())):
        match = re.fullmatch(r"(?:\w+: )?(?:bit )?(\d+) ([^:(]*)(?:[:(].*)?", one)
        assert match, one
        assert int(match[1]) not in found, one
        found[int(match[1])] = match[2].strip()
    return found


def sentence(after: str) -> str:
    begin = TEXT.index(after) + len(after)
    return TEXT[begin : re.compile(r"\.\s").search(TEXT, begin).start()]  # pyright: ignore[reportOptionalMemberAccess]


LISTS = [
    ("3 reset cause (", frame_names.RESET_NAMES),
    ("1 channel (", frame_names.CHANNEL_NAMES),
    ("`t_us` is when it ended.\n1 result (", frame_names.BP_RESULT_NAMES),
    ("? 9 cuff size (", frame_names.CUFF_NAMES),
    ("10 reason (", frame_names.REASON_NAMES),
    ("2 priority (IEC 60601-1-8: ", frame_names.PRIORITY_NAMES),
    ("6 state (", frame_names.STATE_NAMES),
    ("1 level (", frame_names.LEVEL_NAMES),
    ("2 result (", frame_names.RESULT_NAMES),
    ("2 operation (", frame_names.OPERATION_NAMES),
    ("2 mode (", frame_names.MODE_NAMES),
    ("2 step (", frame_names.STEP_NAMES),
    ("of this boot, reason (", frame_names.LOSS_NAMES),
]


@pytest.mark.parametrize(("after", "names"), LISTS, ids=[after[-20:] for after, _ in LISTS])
def test_meanings(after: str, names: "dict[int, str]") -> None:
    assert listed(bracketed(after)) == names


def test_event_codes() -> None:
    assert listed(sentence("\nCodes: ")) == frame_names.EVENT_NAMES


def test_refusal_codes() -> None:
    found = listed(sentence("Refusal codes: "))
    assert {
        n: words.partition(" (")[0].partition(":")[0] for n, words in messages.REFUSE_NAMES.items()
    } == found


FLAG_LISTS = [
    ("7 flags (", frame_names.WAVE_FLAG_NAMES, (frames.KIND_WAVE, frames.WAVE_FLAGS)),
    ("8 flags (", frame_names.VITALS_FLAG_NAMES, (frames.KIND_VITALS, frames.VITALS_FLAGS)),
    ("? 13 flags (", frame_names.BP_FLAG_NAMES, (frames.KIND_BP, frames.BP_FLAGS)),
]


@pytest.mark.parametrize(("after", "names", "where"), FLAG_LISTS, ids=[after for after, _, _ in FLAG_LISTS])
def test_flags(after: str, names: "dict[int, str]", where: "tuple[int, int]") -> None:
    # What is shown beside a waveform is shorter.
    words = bracketed(after).replace("just before the first sample", "before")
    assert {1 << bit: name for bit, name in listed(words).items()} == names
    assert sum(names) == FLAGS[where]


def test_settings() -> None:
    said = re.sub(r"\([^()]*\)", "", bracketed("key 2 = settings (map with unsigned keys: "))
    without_form = {number: re.sub(r" in Hz| `.*`", "", words) for number, words in listed(said).items()}
    assert without_form == {number: rule[0] for number, rule in SETTINGS.items()}


def paragraphs() -> "dict[int, str]":
    """What the text says of each kind, by its number."""
    begin, end = TEXT.index("### 8.1"), TEXT.index("### 8.3")
    parts = re.split(r"^\*\*(\d+) \w+\*\*", TEXT[begin:end], flags=re.MULTILINE)
    return {int(number): words for number, words in zip(parts[1::2], parts[2::2], strict=True)}


def test_kinds() -> None:
    named = dict(re.findall(r"^\*\*(\d+) (\w+)\*\*", TEXT, re.MULTILINE))
    known = {str(kind): name.removesuffix("_down") for kind, name in frame_names.KIND_NAMES.items()}
    assert named == known


def keys_in(words: str) -> "tuple[set[int], set[int]]":
    """(all keys, those marked optional) that a paragraph lists; what is in brackets explains."""
    words = re.sub(r"`[^`]*`", "x", words.split("\n\n")[0].split("\nCodes: ")[0])
    while re.search(r"\([^()]*\)", words):
        words = re.sub(r"\([^()]*\)", "", words)
    found = re.findall(r"(?:^|[–.,;:\n] ?)\s*(\? )?(\d+) +[a-zA-Z]", words)
    return {int(key) for _, key in found}, {int(key) for mark, key in found if mark}


# What the text says of the whole table: optional there, without a mark at the key.
OPTIONAL = {
    frames.KIND_BOOT: {5, 6, 9},
    frames.KIND_WAVE: {7, 8, 9, 15},
    frames.KIND_VITALS: set(BODIES[frames.KIND_VITALS]),
    frames.KIND_EVENT: set(range(3, 11)),
}


def test_the_exceptions_are_those_that_the_text_states() -> None:
    said = "boot 5, 6 and 9; wave 7, 8, 9 (absent = 0) and 15; all of vitals; event 3 to 10"
    assert f"except: {said}; and those marked `?`" in TEXT


@pytest.mark.parametrize("kind", sorted(set(BODIES) - {frames.KIND_CONFIG, frames.KIND_UPDATE}))
def test_keys(kind: int) -> None:
    keys, optional = keys_in(paragraphs()[kind])
    optional |= OPTIONAL.get(kind, set())
    assert keys == set(BODIES[kind])
    assert optional & keys == {key for key, rule in BODIES[kind].items() if not rule[1]}


def test_causes_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "wire-protocol" / "checklist.md").read_text("utf-8")
    section = text[text.index("## Order of checks") : text.index("## A node")]
    causes = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", section)) - {"next", "enc"}
    sources = [*ROOT.glob("protocol/*.py"), *ROOT.glob("firmware/*.py")]
    code = "".join(path.read_text("utf-8") for path in sources)
    assert len(causes) > 12 and {cause for cause in causes if f'"{cause}"' not in code} == set()
    # Codecs name causes to whoever calls them; batches have theirs in collector.md, proofs with their format.
    layers = set(outcome.CAUSES) - {"cbor", "waveform", "batch"}
    counted = {*outcome.COUNTED, *(cause for layer in layers for cause in outcome.CAUSES[layer])}
    vectors = json.loads((ROOT / "protocol" / "vectors" / "refusals.json").read_text("utf-8"))
    counted.update(cause for row in vectors["refusals"] for cause in row["causes"])
    assert counted - causes == set()
    of_batches = (ROOT / "docs" / "collector.md").read_text("utf-8")
    assert {cause for cause in outcome.CAUSES["batch"] if f"`{cause}`" not in of_batches} == {"bad_proof"}
    assert "`bad_proof`" in (ROOT / "docs" / "wire-protocol.md").read_text("utf-8")


def test_the_tables_are_up_to_date() -> None:
    assert schema_tables.FILE.read_text("utf-8") == schema_tables.render(), "python -m tools.schema_tables"


def test_limits_and_times() -> None:
    """Numbers in the text that are constants of the code."""
    for words in (
        f"longer than {cobs.MAX_ENCODED} encoded bytes",
        f"at most {frames.MAX_PLAINTEXT} bytes",
        f"from {node.MAX_DOWNLINK} on",
        f"at most {session_agent.MAX_DOWN_PLAINTEXT} bytes",
        f"at most {messages.MAX_BOOTS} boots, each with at most {messages.MAX_HEADERS} headers",
        f"at most {messages.MAX_RANGES}, ascending",
        f"at most once in {node.SOLICIT_EVERY_MS // 1000} s",
        f"more than {session_agent.BURST_BYTES} encoded bytes",
        f"{session_agent.BURST_PAUSE_MS} ms have passed",
        f"Every {attest.MAX_FRAMES} frames or {attest.MAX_MS // 1000} s",
        f"for {node.SILENCE_MS // 1000} s while frames wait",
        f"At most {window.WINDOW_FRAMES} frames and {window.WINDOW_BYTES} sealed bytes in flight",
        f"Alarms of now have {window.FRAMES[0] - window.WINDOW_FRAMES} frames and "
        f"{window.BYTES[0] - window.WINDOW_BYTES} bytes beyond that",
        f"fill {window.FRAMES[1]} frames and {window.BYTES[1]} bytes of it; live waveform "
        f"{window.FRAMES[2]} and {window.BYTES[2]}; backlog {window.FRAMES[3]} and {window.BYTES[3]} (",
        f"({window.RTO_FIRST_MS // 1000} s at first;",
        f"between {window.RTO_MIN_MS // 1000} and {window.RTO_MAX_MS // 1000} s, doubled",
        "after " + ", ".join(str(ms // 1000) for ms in node.HELLO_REPEATS_MS[:3]) + " s",
    ):
        assert words in TEXT, words
    encoding = (ROOT / "docs" / "wire-protocol" / "encoding.md").read_text("utf-8")
    assert f"at most {cbor.MAX_DEPTH} within each other" in encoding
