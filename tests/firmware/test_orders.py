"""Orders to a node on the VM: carried out once, refused with the right word, and un-pairing."""

import os

import pytest

from firmware.flash import Records
from protocol import cbor, crypto, frames, orders
from protocol import session_events as ev
from protocol.identity import Identity, generate_steps
from tests.firmware.test_app import codes, events

NEVER_US = 1 << 52


def order(what: object, **more: object) -> dict[int, object]:
    names = {"args": frames.ORDER_ARGS, "expires": frames.ORDER_EXPIRES_US}
    body = {frames.ORDER_ID: os.urandom(8), frames.ORDER_WHAT: what, frames.ORDER_MS: 1}
    return body | {frames.ORDER_EXPIRES_US: NEVER_US} | {names[name]: value for name, value in more.items()}


def answers(agent, order_id: bytes) -> list[dict]:
    """Every answer to that order, of all boots."""
    return [
        body
        for held in agent.frames.values()
        for kind, _, body in held.values()
        if kind == frames.KIND_ANSWER and body[frames.ANSWER_ID] == order_id
    ]


def send_as_it_is(agent, kind: int, body: dict) -> None:
    """Send what the session would take for a mistake."""
    agent.session._control.append(agent.session._down.seal(frames.pack(kind, 0, body)))


def result(agent, kind: int, body: dict, as_it_is: bool = False) -> int:
    """Send the order; the result of its (newest) answer."""
    before = len(answers(agent, body[1]))
    if as_it_is:
        send_as_it_is(agent, kind, body)
    else:
        agent.session.order(kind, body)
    agent.until(lambda: len(answers(agent, body[1])) > before)
    return answers(agent, body[1])[-1][frames.ANSWER_RESULT]


@pytest.fixture
def agent(make_node, make_agent):
    node = make_node()
    agent = make_agent(node.port)
    agent.node = node
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    return agent


def test_what_a_node_does_and_what_it_does_not(agent):
    command, config, update = frames.KIND_COMMAND, frames.KIND_CONFIG, frames.KIND_UPDATE
    identify = order(frames.OP_IDENTIFY)
    assert result(agent, command, identify) == frames.RESULT_DONE
    # The answer may have been lost: it comes again, and nothing happens twice.
    assert result(agent, command, identify) == frames.RESULT_DONE
    assert result(agent, command, order(frames.OP_MARK, args={1: "took the pill"})) == frames.RESULT_DONE
    assert result(agent, command, order(frames.OP_MARK, args={1: 7})) == frames.RESULT_MALFORMED
    assert result(agent, command, order(frames.OP_STRIP)) == frames.RESULT_UNSUPPORTED
    assert result(agent, command, order(99)) == frames.RESULT_UNSUPPORTED
    assert result(agent, config, order({1: 60})) == frames.RESULT_DONE
    assert result(agent, config, order({1: 60, 99: 1})) == frames.RESULT_UNSUPPORTED
    assert result(agent, config, order({1: 55})) == frames.RESULT_UNSUPPORTED
    assert result(agent, update, {1: os.urandom(8), 2: 4}) == frames.RESULT_UNSUPPORTED
    assert result(agent, command, order(frames.OP_IDENTIFY, expires=1)) == frames.RESULT_EXPIRED
    assert result(agent, command, order("dance"), as_it_is=True) == frames.RESULT_MALFORMED
    # Nobody's signature, where one is needed.
    assert result(agent, command, order(frames.OP_MEASURE_BP)) == frames.RESULT_UNAUTHORISED
    assert result(agent, config, order({1: 60, 5: 2})) == frames.RESULT_UNAUTHORISED
    assert result(agent, config, order({3: [[33, 1200, 10]]})) == frames.RESULT_UNAUTHORISED
    assert result(agent, config, order({2: 1})) == frames.RESULT_UNAUTHORISED
    assert result(agent, command, order(frames.OP_ACKNOWLEDGE)) == frames.RESULT_UNAUTHORISED
    agent.whole()
    assert codes(agent) == [frames.EVENT_IDENTIFY, frames.EVENT_MARK]
    assert events(agent, frames.EVENT_MARK)[0][2][frames.EVENT_TEXT] == "took the pill"


def test_what_has_no_id_is_counted_and_not_answered(agent):
    send_as_it_is(agent, frames.KIND_COMMAND, {frames.ORDER_WHAT: frames.OP_IDENTIFY})
    assert result(agent, frames.KIND_COMMAND, order(frames.OP_MARK)) == frames.RESULT_DONE
    before = len(agent.of(frames.KIND_STATUS))
    agent.until(lambda: len(agent.of(frames.KIND_STATUS)) > before)
    assert agent.of(frames.KIND_STATUS)[-1][2][frames.STATUS_REJECTED] == 1
    assert codes(agent) == [frames.EVENT_MARK]


def test_the_last_sixteen_are_remembered(agent):
    first = order(frames.OP_MARK, args={1: "first"})
    assert result(agent, frames.KIND_COMMAND, first) == frames.RESULT_DONE
    for n in range(15):
        marked = order(frames.OP_MARK, args={1: str(n)})
        assert result(agent, frames.KIND_COMMAND, marked) == frames.RESULT_DONE
    assert result(agent, frames.KIND_COMMAND, first) == frames.RESULT_DONE
    agent.whole()
    texts = [body[frames.EVENT_TEXT] for _, _, body in events(agent, frames.EVENT_MARK)]
    assert texts.count("first") == 1 and len(texts) == 16


def test_an_authority_on_flash_is_believed_and_nobody_else(make_node, make_agent, tmp_path):
    authority: Identity = crypto.run(generate_steps(os.urandom(64)))
    state = tmp_path / "node" / "state"
    state.mkdir(parents=True)
    record = cbor.dumps([[authority.ed_pub, authority.x_pub], ["no", "keys"]])
    Records(str(state)).write("authorities", record)
    agent = make_agent(make_node().port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    boot, node_id = max(agent.frames), agent.session.node_id

    def signed(by: Identity, for_boot: bytes) -> dict:
        body = order(frames.OP_MEASURE_BP)
        return crypto.run(orders.sign_steps(by, node_id, for_boot, frames.KIND_COMMAND, body))

    def asked(body: dict) -> int:
        return result(agent, frames.KIND_COMMAND, body)

    # Begun: it waits for somebody to press the button.
    measure = signed(authority, boot)
    assert asked(measure) == frames.RESULT_BEGUN
    message = orders.order_message(node_id, boot, frames.KIND_COMMAND, measure)
    assert answers(agent, measure[1])[-1][frames.ANSWER_DIGEST] == crypto.sha256(message)[:8]
    assert asked(signed(authority, bytes(12))) == frames.RESULT_UNAUTHORISED
    assert asked(signed(agent.identity, boot)) == frames.RESULT_UNAUTHORISED
    changed = signed(authority, boot)
    changed[frames.ORDER_WHAT] = frames.OP_IDENTIFY
    assert asked(changed) == frames.RESULT_UNAUTHORISED
    agent.whole()
    assert frames.EVENT_IDENTIFY not in codes(agent)


def test_a_restart_in_order(agent):
    first = max(agent.frames)
    assert result(agent, frames.KIND_COMMAND, order(frames.OP_RESTART)) == frames.RESULT_BEGUN
    agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))
    statement = agent.of(frames.KIND_BOOT)[0][2][frames.BOOT_PREVIOUS]
    assert statement == [first, len(agent.frames[first]), True, 0]
    assert agent.of(frames.KIND_LOG) == [], "an orderly end is no crash"


def test_unpairing_the_last_agent_makes_the_node_announce_itself(agent, make_agent):
    unpair_id = os.urandom(8)
    first = max(agent.frames)
    agent.session.unpair(unpair_id)
    agent.until(lambda: answers(agent, unpair_id))
    assert answers(agent, unpair_id) == [{1: unpair_id, 2: frames.RESULT_DONE}]
    agent.until(lambda: [body for _, _, body in agent.of(frames.KIND_EVENT, first) if body[1] == 9])
    assert not (agent.node.flash_dir / "state" / "unpaired").exists(), "there is nobody to be told"
    agent.pairing = False
    agent.events.clear()
    agent.known.clear()
    announced = agent.until(lambda: [e for e in agent.events if isinstance(e, ev.Announced) and e.ed_pub])
    assert announced[0].node_id == agent.session.node_id
    # Anybody may have it now.
    other = make_agent(agent.node.port)
    body = other.until(lambda: other.of(frames.KIND_BOOT))[0][2]
    assert body[frames.BOOT_PREVIOUS][2] is True and body[frames.BOOT_PREVIOUS][0] == first


def test_flash_that_takes_no_writes_leaves_the_pairing(agent):
    state = agent.node.flash_dir / "state"
    kept = (state / "agents").read_bytes()
    (state / "agents.new").mkdir()
    unpair_id = os.urandom(8)
    agent.session.unpair(unpair_id)
    agent.until(lambda: answers(agent, unpair_id))
    assert answers(agent, unpair_id)[0][frames.ANSWER_RESULT] == frames.RESULT_FAILED
    assert (state / "agents").read_bytes() == kept
    agent.until(lambda: len(agent.of(frames.KIND_STATUS)) > 0)
    assert agent.node.resets == 0


def test_settings_of_an_authority_hold_and_outlive_a_restart(make_node, make_agent, tmp_path):
    authority: Identity = crypto.run(generate_steps(os.urandom(64)))
    state = tmp_path / "node" / "state"
    state.mkdir(parents=True)
    Records(str(state)).write("authorities", cbor.dumps([[authority.ed_pub, authority.x_pub]]))
    node = make_node()
    agent = make_agent(node.port)
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    body = order({2: frames.MODE_WATCH, 3: [[frames.EVENT_HR_HIGH, 900, 20]], 5: frames.CUFF_LARGE})
    signed = crypto.run(
        orders.sign_steps(authority, agent.session.node_id, max(agent.frames), frames.KIND_CONFIG, body)
    )
    assert result(agent, frames.KIND_CONFIG, signed) == frames.RESULT_DONE
    kept = cbor.loads((state / "settings").read_bytes()[8:])
    assert (kept[2], kept[3], kept[5]) == (frames.MODE_WATCH, [[33, 900, 20]], frames.CUFF_LARGE)
    assert result(agent, frames.KIND_COMMAND, order(frames.OP_RESTART)) == frames.RESULT_BEGUN
    agent.until(lambda: len(agent.frames) == 2 and agent.of(frames.KIND_BOOT))
    assert cbor.loads((state / "settings").read_bytes()[8:]) == kept


def test_an_alarm_that_nobody_saw_is_told_by_each_boot_until_it_is_acknowledged(
    make_node, make_agent, tmp_path
):
    authority: Identity = crypto.run(generate_steps(os.urandom(64)))
    folder = tmp_path / "node" / "state"
    folder.mkdir(parents=True)
    state = Records(str(folder))
    state.write("authorities", cbor.dumps([[authority.ed_pub, authority.x_pub]]))
    state.write("latched", bytes((frames.EVENT_ASYSTOLE,)))
    node = make_node()
    agent = make_agent(node.port)

    def told(boot: int, code: int) -> bool:
        held = [one for counter, one in agent.frames.items() if int.from_bytes(counter[:4], "big") == boot]
        bodies = [body for kind, _, body in (held[0].values() if held else ()) if kind == frames.KIND_EVENT]
        return any(
            (body[1], body.get(frames.EVENT_STATE)) == (frames.EVENT_ASYSTOLE, code) for body in bodies
        )

    agent.until(lambda: told(1, frames.STATE_LATCHED))
    node.power_cycle()
    agent.until(lambda: told(2, frames.STATE_LATCHED))
    # Meanwhile nothing restarts it but a power cut.
    assert result(agent, frames.KIND_COMMAND, order(frames.OP_RESTART)) == frames.RESULT_INTERLOCK
    seen = crypto.run(
        orders.sign_steps(
            authority,
            agent.session.node_id,
            max(agent.frames),
            frames.KIND_COMMAND,
            order(frames.OP_ACKNOWLEDGE),
        )
    )
    assert result(agent, frames.KIND_COMMAND, seen) == frames.RESULT_DONE
    agent.until(lambda: told(2, frames.STATE_ENDED) and state.read("latched") == b"")
