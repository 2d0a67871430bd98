"""`vitalwire inspect` on a link that a real virtual node spoke on: opened with keys, without, and damaged."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import serial
from click.testing import CliRunner

from boards.virtual.rig import RigError, VirtualNode, find_micropython
from edge_agent import keys as key_files
from edge_agent.nodes.peers import Peers
from protocol import cobs, crypto, frames, messages, seal
from protocol import session_events as ev
from protocol.identity import Identity, generate_steps, node_id, pair_message
from protocol.session_agent import AgentSession
from tests.both.sealing import seal_one
from tools import build
from tools.dissect import capture
from tools.dissect.capture import Keys, Part
from tools.dissect.stuffing import codes
from tools.inspect import command

PATIENCE_S = 120.0
MESSAGES = 12


class Capture(NamedTuple):
    """What the node sent, what the agent sent, and the folder with the agent's key and peers."""

    up: bytes
    down: bytes
    folder: Path
    agent: Identity
    plain: dict[int, bytes]

    @property
    def key(self) -> str:
        return str(self.folder / "agent.key")

    def keys(self) -> Keys:
        return Keys(agent=self.agent, peers=Peers(self.folder / "peers.json").lookup)


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A node is paired and listened to until it has attested its first frames, and has said an SpO2."""
    try:
        vm = find_micropython()
    except RigError as e:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(e))
    folder = tmp_path_factory.mktemp("link")
    agent = key_files.create(folder / "agent.key", "agent")
    peers = Peers(folder / "peers.json")
    build.write(build.make("virtual"), folder / "tree")
    session = AgentSession(agent, peers.lookup, lambda _: None, os.urandom)
    up, down = bytearray(), bytearray()
    plain: dict[int, bytes] = {}
    attested = measured = False
    with (
        VirtualNode(folder / "tree", folder / "flash", log=folder / "log", micropython=vm, speed=3) as node,
        serial.serial_for_url(node.port, timeout=0.02) as port,
    ):
        began = time.monotonic()
        while not (attested and measured):
            now_ms = int(1000 * (time.monotonic() - began))
            assert now_ms < 1000 * PATIENCE_S, (attested, measured, session.rejected)
            data = port.read(max(1, port.in_waiting))
            up += data
            for event in session.feed(data, now_ms):
                if isinstance(event, ev.Announced) and event.ed_pub and not peers.lookup(event.node_id):
                    session.request_pairing(os.urandom(16))
                elif isinstance(event, ev.PairReply) and event.signature_ok:
                    peers.add(key_files.PublicKeys(event.ed_pub, event.x_pub))
                elif isinstance(event, ev.HelloAccepted):
                    session.ping()
                elif isinstance(event, ev.FrameIn):
                    plain[event.seq] = event.plaintext
                    session.ack(event.boot_id, [(event.seq, 1)])
                    kind, _, body = frames.unpack(event.plaintext)
                    attested = attested or kind == frames.KIND_ATTEST
                    if kind == frames.KIND_VITALS:
                        measured = measured or body.get(frames.VITALS_SPO2) is not None
            sent = session.pull(now_ms)
            down += sent
            port.write(sent)
    return Capture(bytes(up[: up.rindex(0) + 1]), bytes(down), folder, agent, plain)


def inspect(data: bytes, *options: str) -> "tuple[Any, int]":
    result = CliRunner().invoke(command, ["-", "--json", *options], input=data)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.output), result.exit_code


def begin(data: bytes, count: int = MESSAGES) -> bytes:
    """The first messages of a stream."""
    return b"\0".join(data.split(b"\0")[:count]) + b"\0"


def facts(part: Any) -> "list[str]":
    return part["facts"] + [fact for inner in part["parts"] for fact in facts(inner)]


def problems(part: Any) -> "list[dict[str, Any]]":
    return part["problems"] + [problem for inner in part["parts"] for problem in problems(inner)]


def unchecked(part: Any) -> "list[str]":
    return part["unchecked"] + [why for inner in part["parts"] for why in unchecked(inner)]


def test_every_frame_is_opened_down_to_its_fields(link: Capture) -> None:
    seen, code = inspect(link.up, "--agent-key", link.key)
    assert code == 0 and seen["ok"]
    opened = {}
    for message in seen["parts"]:
        for frame in message["parts"]:
            number = int(frame["what"].split()[1].rstrip(":"))
            opened[number] = frame
            assert frame["rule"] == "frame" and frame["length"] == len(link.plain[number])
            for item in frame["items"]:
                raw = link.plain[number][item["offset"] : item["offset"] + item["length"]]
                assert item["hex"] == raw.hex() and item["rules"] == [*item["rules"]]
    assert set(opened) == set(link.plain)
    said = facts(seen)
    assert any("the hello is authentic" in fact for fact in said)
    assert any("its root is that of the frames 0 to" in fact for fact in said)
    assert any(fact.endswith("signed it") for fact in said)
    rules = {rule for frame in opened.values() for item in frame["items"] for rule in item["rules"]}
    assert {"boot-frame", "wave-frame", "vitals-frame", "attest-frame", "t-us", "wave-data", "spo2"} <= rules


def test_offsets_lead_to_the_bytes_of_the_capture(link: Capture) -> None:
    """A changed byte at the place that a plaintext's field has in the capture changes that field."""
    part = capture.take_apart(begin(link.up), "stream", link.keys())
    for message in part.parts:
        end = link.up.index(b"\0", message.places[0])
        chunk = link.up[link.up.rindex(b"\0", 0, message.places[0]) + 1 : end]
        assert cobs.decode(chunk) == message.data
        for own, at in enumerate(message.places[:-1]):
            assert link.up[at] == message.data[own] or message.data[own] == 0
        for frame in message.parts:
            body = message.data.index(message.data[-8 - len(frame.data) :])
            assert list(frame.places[:-1]) == list(message.places[body : body + len(frame.data)])


def test_peers_may_come_from_the_file_alone(link: Capture) -> None:
    """As in most captures, the pairing is long past."""
    chunks = link.up.split(b"\0")
    rest = b"\0" + b"\0".join(c for c in chunks if c and not cobs.decode(c).startswith((b"\xa6", b"\xa3")))
    hello = [c for c in chunks if c and cobs.decode(c).startswith(b"\xa3")][-1]
    later = b"\0" + hello + rest + b"\0"
    seen, code = inspect(later, "--agent-key", link.key)
    assert code == 0 and sum(len(message["parts"]) for message in seen["parts"]) == len(link.plain)
    wrong = ["-", "--agent-key", link.key, "--peers", str(link.folder / "agent.key")]
    result = CliRunner().invoke(command, wrong, input=later)
    assert result.exit_code == 2 and "damaged" in result.output


def test_without_keys_what_is_sealed_is_called_so(link: Capture) -> None:
    seen, code = inspect(link.up)
    assert code == 0 and not any(part["parts"] for part in seen["parts"])
    said = facts(seen)
    assert any("--agent-key FILE opens them" in fact for fact in said)
    assert any("sealed frames were not opened" in fact for fact in said)
    data = [part for part in seen["parts"] if part["what"].endswith("data-message")]
    assert data and all(any("sealed: frame" in fact for fact in part["facts"]) for part in data)
    assert all(any("partial-iv" in item["rules"] for item in part["items"]) for part in data)


def test_a_wrong_agent_key_is_named(link: Capture, tmp_path: Path) -> None:
    other = key_files.create(tmp_path / "other.key", "agent")
    seen, code = inspect(link.up, "--agent-key", str(tmp_path / "other.key"))
    said = unchecked(seen)
    assert code == 0 and not problems(seen) and len(said) >= 2
    assert f"made with another agent's key, not with that of agent {other.id.hex()}" in said[0]
    assert link.agent.id.hex() in said[0]
    assert f"sealed for {link.agent.id.hex()}, not for agent {other.id.hex()}" in said[1]
    shown = CliRunner().invoke(command, ["-", "--agent-key", str(tmp_path / "other.key")], input=link.up)
    assert shown.exit_code == 0 and f"not checked: {said[0]}" in shown.output
    assert f"not checked, for want of a key: {len(said)}" in shown.output


def test_a_node_that_is_nowhere_is_named(link: Capture, tmp_path: Path) -> None:
    chunks = [c for c in link.up.split(b"\0") if c and not cobs.decode(c).startswith(b"\xa6")]
    later = b"\0" + b"\0".join(chunks[1:]) + b"\0"
    (tmp_path / "agent.key").write_bytes((link.folder / "agent.key").read_bytes())
    (tmp_path / "agent.key").chmod(0o600)
    seen, code = inspect(later, "--agent-key", str(tmp_path / "agent.key"))
    assert code == 0 and not problems(seen) and "--peers FILE names those" in unchecked(seen)[0]
    result = CliRunner().invoke(command, ["-", "--agent-key", link.key, "--peers", "/nowhere"], input=later)
    assert result.exit_code == 2 and "no such file" in result.output


def test_no_secret_is_ever_shown(link: Capture) -> None:
    said = CliRunner().invoke(command, ["-", "--agent-key", link.key], input=link.up).output
    said += CliRunner().invoke(command, ["-", "--json", "--agent-key", link.key], input=link.up).output
    assert link.agent.ed_seed.hex() not in said and link.agent.x_sk.hex() not in said


def test_the_other_direction_is_shown_as_far_as_it_is_visible(link: Capture) -> None:
    seen, code = inspect(link.down, "--agent-key", link.key)
    assert code == 0
    rules = {part["what"].partition(": ")[2] for part in seen["parts"]}
    assert {"pair-request", "welcome"} <= rules
    assert any("the node's own key only" in fact for fact in facts(seen))


def silent_on_purpose(part: Part, at: int) -> bool:
    """Whether the byte belongs to what nobody but the node can check: its announcement."""
    held = [inner for inner in part.parts if inner.places[0] - 1 <= at <= inner.places[-1]]
    return any(fact.startswith("an announcement") for inner in held for fact in inner.facts)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_changed_byte_is_always_found_and_placed(link: Capture, mask: int) -> None:
    """Without a traceback; and where a proof covers the byte, exactly.

    Not the delimiters at both ends: without one, the capture may begin or end inside a message.
    """
    whole = begin(link.up)
    rng = random.Random(mask)
    exact = tried = 0
    for at in sorted(rng.sample(range(1, len(whole) - 1), 25)):
        changed = bytearray(whole)
        changed[at] ^= mask
        part = capture.take_apart(bytes(changed), "stream", link.keys())
        found = [holder.place_of(problem) for holder, problem in part.all_problems()]
        assert found or part.all_unchecked() or silent_on_purpose(part, at), at
        assert all(0 <= place <= len(whole) for place in found)
        hello = whole.rindex(b"\0", 0, whole.index(b"\x83\x43\xa1\x01\x0a"))
        if at > hello:
            tried += 1
            exact += at in found
    assert tried > 8 and exact >= 0.9 * tried


def test_every_changed_byte_without_keys_has_no_traceback(link: Capture) -> None:
    whole = begin(link.up)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        part = capture.take_apart(bytes(changed), capture.recognise(bytes(changed)), Keys())
        for holder, problem in part.all_problems():
            assert 0 <= holder.place_of(problem) <= len(whole)


def test_a_mended_message_is_shown_as_it_was_sent(link: Capture) -> None:
    """A byte of a frame, one that counts a block, a delimiter lost, a delimiter made."""
    clean = capture.take_apart(link.up, "stream", link.keys())
    message = next(part for part in clean.parts if part.parts and "boot-frame" in part.parts[0].title)
    begins = link.up.rindex(b"\0", 0, message.places[0]) + 1
    chunk = link.up[begins : link.up.index(b"\0", begins)]
    inside = next(at for at in range(60, len(chunk)) if at not in codes(chunk) and chunk[at] not in (1, 0x41))
    for at, to in (
        (begins + inside, chunk[inside] ^ 1),
        (begins + codes(chunk)[1], chunk[codes(chunk)[1]] ^ 0x40),
        (begins + len(chunk), 0x55),
        (begins + inside, 0),
    ):
        changed = bytearray(link.up)
        was, changed[at] = changed[at], to
        seen, code = inspect(bytes(changed), "--agent-key", link.key)
        found = [problem for problem in problems(seen) if problem["layer"] == "link"]
        assert code == 1 and found and found[0]["capture_offset"] == at, (at, to)
        assert f"0x{to:02x} here, 0x{was:02x} when it was sent" in found[0]["why"]
        assert any(
            inner["what"].startswith("as it was sent") for part in seen["parts"] for inner in part["parts"]
        )


def test_a_changed_hello_is_mended_and_its_frames_open(link: Capture) -> None:
    clean = capture.take_apart(link.up, "stream", link.keys())
    hello = [part for part in clean.parts if part.title.endswith(": hello")][-1]
    nonce = next(line for line in hello.lines if "nonce" in line.rules)
    wrapped = next(line for line in hello.lines if line.name.startswith("wrapped"))
    for line in (nonce, wrapped):
        at = hello.in_capture(line.offset + line.length - 1)
        changed = bytearray(link.up)
        changed[at] ^= 0x04
        seen, _ = inspect(bytes(changed), "--agent-key", link.key)
        assert any(p["layer"] == "link" and p["capture_offset"] == at for p in problems(seen))
        assert any(f"{len(link.plain)} opened" in fact for fact in seen["facts"])


def test_noise_is_not_searched_for_ever(link: Capture) -> None:
    noise = random.Random(2).randbytes(60_000)
    part = capture.take_apart(link.up + noise, "stream", link.keys())
    assert any(f"{len(link.plain)} opened" in fact for fact in part.facts) and part.all_problems()


# What a real node does not do


class Made(NamedTuple):
    """A node and an agent made here, and a hello of boot 1."""

    node: Identity
    agent: Identity
    keys: seal.BootKeys
    hello: bytes

    def sealed(self, seq: int, plaintext: bytes) -> bytes:
        return seal_one(self.keys.K, self.keys.boot_id, seq, plaintext)

    def look(self, *data: bytes) -> Part:
        stream = b"\0" + self.hello + b"".join(cobs.encode(one) for one in data)
        public = key_files.PublicKeys(*self.node.public())
        return capture.take_apart(stream, "stream", Keys(agent=self.agent, peers=lambda _: public))


@pytest.fixture
def made() -> Made:
    node, agent = (crypto.run(generate_steps(os.urandom(64))) for _ in range(2))
    keys = seal.BootKeys(os.urandom(16), b"\0\0\0\x01" + os.urandom(8))
    steps = seal.wrap_header_steps(keys.K, keys.boot_id, node, agent.id, agent.x_pub, os.urandom(32))
    boots = [[keys.boot_id, [[agent.id, *crypto.run(steps)]], 9, []]]
    body = messages.hello_body(messages.VERSION, node.id, os.urandom(16), 1, boots)
    assert node.id == node_id(*node.public())
    return Made(node, agent, keys, cobs.encode(messages.hello(body, keys.hello_tag(body))))


def test_a_pair_reply_for_another_agent_and_a_wrong_one(made: Made) -> None:
    """A request in the capture says for whom it was; without one the reply may also have been changed."""
    other = crypto.run(generate_steps(os.urandom(64)))
    nonce = os.urandom(16)
    signed = pair_message(*other.public(), *made.node.public(), nonce)
    signature = crypto.run(crypto.ed25519_sign_steps(made.node.ed_seed, made.node.ed_pub, signed))
    reply = cobs.encode(messages.pair_reply(1, *made.node.public(), nonce, signature))
    requests = {
        who: cobs.encode(messages.pair_request(1, *who.public(), nonce)) for who in (other, made.agent)
    }

    def taken(stream: bytes) -> Part:
        return capture.take_apart(b"\0" + stream, "stream", Keys(agent=made.agent))

    told = taken(requests[other] + reply)
    assert not told.all_problems() and not told.all_unchecked()
    assert any(f"made with another agent's key, {other.id.hex()}" in said for said in told.parts[1].facts)
    [(_, problem)] = taken(reply).all_problems()
    assert problem.why.startswith("made with another agent's key") and "changed" in problem.why
    [(_, problem)] = taken(requests[made.agent] + reply).all_problems()
    assert problem.layer == "pairing" and "not this node's signature" in problem.why


VITALS = frames.pack(frames.KIND_VITALS, 5, {1: 700})


def test_a_frame_number_with_two_contents(made: Made) -> None:
    again = made.look(*[messages.data(0, made.sealed(3, VITALS))] * 2)
    assert not again.all_problems() and any("1 came again" in fact for fact in again.facts)
    other = frames.pack(frames.KIND_VITALS, 5, {1: 701})
    two = made.look(*[messages.data(0, made.sealed(3, text)) for text in (VITALS, other)])
    assert [p.why for _, p in two.all_problems()] == ["frame 3 came before with other content"]


def test_a_malformed_frame_inside_a_sound_seal(made: Made) -> None:
    bad = bytes.fromhex("830305a1031903e9")
    (holder, problem), *_ = made.look(messages.data(0, made.sealed(0, bad))).all_problems()
    assert "spo2: 1001" in problem.why and problem.layer == "schema"
    assert holder.title.startswith("frame 0") and holder.place_of(problem) > len(made.hello) + 12


def test_a_boot_that_was_not_listed(made: Made) -> None:
    (_, problem), *_ = made.look(messages.data(5, made.sealed(0, VITALS))).all_problems()
    assert problem.why == "boot 5 where the newest hello lists 1"


def test_an_attestation_of_other_frames(made: Made) -> None:
    body = {1: 0, 2: 1, 3: bytes(32), 4: bytes(64)}
    plain = [VITALS, frames.pack(frames.KIND_ATTEST, 6, body)]
    part = made.look(*[messages.data(0, made.sealed(i, text)) for i, text in enumerate(plain)])
    assert [problem.layer for _, problem in part.all_problems()] == ["attestation", "attestation"]
    alone = made.look(messages.data(0, made.sealed(1, plain[1])))
    assert any("root not checked: 1 of the frames 0 to 0" in fact for fact in alone.parts[1].parts[0].facts)


def test_a_welcome_to_another_hello(made: Made) -> None:
    part = made.look(messages.welcome(1, made.agent.id, bytes(32), bytes(16)))
    assert [problem.why for _, problem in part.all_problems()] == [
        "answers a nonce that no hello before it has"
    ]
