"""The authority's side: what a person types becomes a command, which is said until there is an end."""

from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys, write_public
from edge_agent.lock import hold_soon
from edge_agent.remote import authorities
from edge_agent.remote.authorities import FILE, Authorities, AuthoritiesError
from edge_agent.remote.ordering import REFUSED_OFTEN, Ordering, OrderingError, new_command, wanted
from protocol import frames, receipts, remote, remote_seal
from tests.edge_agent.command_world import AGENT, CLINIC, NEXT, NODE, World, somebody


def ordering(world: World, operation: str, arguments: Any = None) -> Ordering:
    command = new_command(CLINIC, AGENT.id, NODE.id, operation, arguments, world.unix_ms(), 60.0)
    return Ordering(CLINIC, PublicKeys(*AGENT.public()), command)


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.stop()


def test_a_measurement_is_ordered_signed_and_told_to_its_end(world: World) -> None:
    one = ordering(world, remote.BP, wanted(remote.BP, {"cuff": "medium"}))
    said: list[str] = []
    for _ in range(12):
        reply = world.commander.ask(one.message())
        if reply is not None and one.take(reply):
            said.append(one.said())
        world.step()
        if world.node.moved and one.answer is not None and one.answer.outcome == remote.BEGUN:
            world.measured(one.command)
    assert world.node.moved == [frames.OP_MEASURE_BP]
    assert one.answer is not None and one.answer.final
    assert said[0].startswith("signing") and said[-1].startswith("done: measured; in frame 77")
    # Whatever comes after the end is no news.
    reply = world.commander.ask(one.message())
    assert reply is not None and not one.take(reply)


def test_what_is_not_ours_is_no_news_and_what_is_forged_is_told(world: World) -> None:
    one = ordering(world, remote.IDENTIFY)
    other, thief = somebody(), somebody()
    answer = remote.Answer(AGENT.id, NODE.id, one.command.command_id, remote.DONE, 1, one.command.digest)

    def sealed(signer: Any, said: remote.Answer, to: Any) -> bytes:
        return remote_seal.seal_answer(remote.make_answer(signer, said), AGENT.id, to.id, to.x_pub)

    assert not one.take(sealed(AGENT, answer, other))
    for change in ({"digest": bytes(32)}, {"command_id": bytes(8)}, {"agent_id": bytes(8)}):
        assert not one.take(sealed(AGENT, remote.Answer(**{**answer.__dict__, **change}), CLINIC))
    assert one.remark == ""
    for junk in (b"", b"\0", bytes(5000), sealed(thief, answer, CLINIC)):
        assert not one.take(junk)
    assert one.remark.startswith("4 messages")
    # Others' refusals, and those of whoever has not seen what we said.
    for refused in (None, b"what somebody else said"):
        strange = receipts.make_refusal(AGENT.id, "unknown_authority", "not known", refused)
        assert not any(one.take(strange) for _ in range(2 * REFUSED_OFTEN))
    # Anybody who sees ours can say that; it is believed when it is said of several, and nothing else is.
    unknown = [
        receipts.make_refusal(AGENT.id, "unknown_authority", "not known", one.message())
        for _ in range(REFUSED_OFTEN)
    ]
    assert not any(one.take(unknown[0]) for _ in range(2 * REFUSED_OFTEN))
    assert not any(one.take(refusal) for refusal in unknown[:-1])
    with pytest.raises(OrderingError, match="authority add"):
        one.take(unknown[-1])
    assert not one.take(receipts.make_refusal(AGENT.id, "rate", "too many"))
    assert not one.take(receipts.make_refusal(bytes(8), "bad_seal", "another agent's"))
    # An agent that asks for a signature over what needs none gets none.
    offer = remote.Offer(bytes(12), 1, 2, world.unix_ms())
    asked = remote.Answer(**{**answer.__dict__, "outcome": remote.NEEDS_SIGNATURE, "offer": offer})
    assert not one.take(sealed(AGENT, asked, CLINIC)) and one.command.order is None
    assert one.take(sealed(AGENT, answer, CLINIC)) and one.said() == "done"
    assert not one.take(unknown[-1])


def test_what_was_heard_before_and_is_said_again_changes_nothing(world: World) -> None:
    """A broker that keeps the offer of a boot, and brings it when the node has begun."""
    one = ordering(world, remote.BP)

    def said() -> bytes:
        while (reply := world.commander.ask(one.message())) is None:
            world.commit()
        return reply

    first = said()
    assert one.take(first) and not one.take(first)
    world.commander._kept.tasks[one.command.command_id].far = True
    world.node.boot = NEXT
    world.step()
    assert one.take(world.published[-1]) and one.command.order is not None
    newest = one.command.order
    assert newest.boot_id == NEXT and not one.take(first) and one.command.order == newest
    assert one.take(said()) and one.answer is not None and one.answer.outcome == remote.SENT
    sent = said()
    world.step(2)
    assert one.take(said()) and one.answer.outcome == remote.BEGUN
    for old in (first, sent):
        assert not one.take(old)
    assert one.answer.outcome == remote.BEGUN and one.command.order == newest
    world.measured(one.command)
    assert one.take(said()) and one.said().startswith("done")


@pytest.mark.parametrize(
    ("operation", "given", "arguments"),
    [
        (remote.IDENTIFY, {}, None),
        (remote.BP, {}, None),
        (remote.BP, {"cuff": "large"}, {1: 3}),
        (remote.MARK, {"text": "tea"}, {1: "tea"}),
        (remote.STATIC_PRESSURE, {"mmhg": 150}, {1: 150}),
        (remote.CONFIG, {"mains": 60, "not_sent": ("red", "infrared")}, {1: 60, 4: [1, 2]}),
        (remote.CONFIG, {"not_sent": ("none",)}, {4: []}),
        (remote.LIMITS, {"mode": "watch", "limit": ("spo2-low=88:15",)}, {2: 1, 3: [[35, 880, 15]]}),
        (remote.STRIP, {}, {1: 0, 2: 30}),
        (remote.STRIP, {"channel": "red", "seconds": 5, "next": True}, {1: 1, 2: 5, 3: True}),
    ],
)
def test_what_is_typed(operation: str, given: dict[str, Any], arguments: Any) -> None:
    assert wanted(operation, given) == arguments
    remote.make_command(CLINIC, new_command(CLINIC, AGENT.id, NODE.id, operation, arguments, 5))


@pytest.mark.parametrize(
    ("operation", "given", "says"),
    [
        (remote.IDENTIFY, {"mmhg": 150}, "it takes nothing"),
        (remote.BP, {"not_sent": ("red",)}, "takes no --not-sent"),
        (remote.MARK, {}, "--text"),
        (remote.MARK, {"text": "é" * 33}, "66 bytes"),
        (remote.CONFIG, {}, "--mains 50"),
        (remote.LIMITS, {}, "spo2-low=88:15"),
        (remote.LIMITS, {"limit": ("spo2=88:15",)}, "names are"),
        (remote.LIMITS, {"limit": ("spo2-low=88",)}, "NAME=VALUE"),
        (remote.LIMITS, {"limit": ("spo2-low=inf:15",)}, "NAME=VALUE"),
    ],
)
def test_what_is_typed_wrongly_says_what_to_type(operation: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(OrderingError, match=says):
        wanted(operation, given)


def test_authorities_are_kept_as_written_and_a_change_counts_at_once(tmp_path: Path) -> None:
    kept, one, other = Authorities(tmp_path), somebody(), somebody()
    person = bytes(range(16))
    kept.add(PublicKeys(*one.public()), [remote.BP], 'Dr. "Who"\n', [NODE.id], [person])
    kept.add(PublicKeys(*other.public()), ["all"])
    seen = Authorities(tmp_path)
    known = seen.get(one.id)
    assert known is not None and known.name == 'Dr. "Who" '
    assert known.may(remote.BP, NODE.id, person) and not known.may(remote.BP, NODE.id, None)
    assert not known.may(remote.BP, bytes(8), person) and not known.may(remote.RESTART, NODE.id, person)
    assert len(seen.all()) == 2 and kept.remove(one.id) and not kept.remove(one.id)
    assert seen.get(one.id) is None and seen.get(other.id) is not None
    assert [path.name for path in tmp_path.glob("*.pub")] == [f"{other.id.hex()}.pub"]


def test_of_two_changes_at_a_time_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = somebody(), somebody()
    Authorities(tmp_path).add(PublicKeys(*CLINIC.public()), [remote.BP])

    def late(lock: Path, wait_s: float) -> Any:
        monkeypatch.setattr(authorities, "hold_soon", hold_soon)
        Authorities(tmp_path).add(PublicKeys(*other.public()), ["all"])
        Authorities(tmp_path).remove(CLINIC.id)
        return hold_soon(lock, wait_s)

    monkeypatch.setattr(authorities, "hold_soon", late)
    Authorities(tmp_path).add(PublicKeys(*first.public()), ["all"])
    assert {one.keys.id for one in Authorities(tmp_path).all()} == {first.id, other.id}
    monkeypatch.setattr(authorities, "LOCK_S", 0)
    with hold_soon(tmp_path / authorities.LOCK, 0), pytest.raises(AuthoritiesError, match="another process"):
        Authorities(tmp_path).remove(first.id)


def test_a_key_that_goes_while_it_is_read_takes_nothing_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = Authorities(tmp_path), somebody()
    kept.add(PublicKeys(*CLINIC.public()), [remote.BP])
    kept.add(PublicKeys(*gone.public()), ["all"])
    real = authorities.load_public

    def going(path: Path) -> PublicKeys:
        monkeypatch.setattr(authorities, "load_public", real)
        Authorities(tmp_path).remove(gone.id)
        return real(tmp_path / f"{gone.id.hex()}.pub")

    monkeypatch.setattr(authorities, "load_public", going)
    known = kept.get(CLINIC.id)
    assert kept.problem is None and known is not None and known.may(remote.BP, NODE.id, None)


@pytest.mark.parametrize(
    "text",
    [
        "[[authority]",
        "x = 1",
        "authority = 3",
        "authority = [3]",
        '[[authority]]\nid = "{id}"\noperations = ["everything"]',
        '[[authority]]\nid = "{id}"\nmay = ["bp"]',
        '[[authority]]\nid = "{id}"\noperations = "bp"',
        '[[authority]]\nid = "00"\noperations = ["bp"]',
        '[[authority]]\nid = "0000000000000000"\noperations = ["bp"]',
        '[[authority]]\noperations = ["bp"]',
        '[[authority]]\nid = "{id}"\nnodes = ["xy"]',
    ],
)
def test_a_file_that_is_wrong_anywhere_lets_nobody_order_anything(tmp_path: Path, text: str) -> None:
    write_public(tmp_path / "clinic.pub", "authority", PublicKeys(*CLINIC.public()))
    kept = Authorities(tmp_path)
    known = kept.get(CLINIC.id)
    assert known is not None and not known.may(remote.IDENTIFY, NODE.id, None), "its key alone is no leave"
    (tmp_path / FILE).write_text(text.replace("{id}", CLINIC.id.hex()))
    assert kept.get(CLINIC.id) is None and kept.problem is not None and FILE in kept.problem
    with pytest.raises(AuthoritiesError, match=FILE):
        kept.all()
