"""Whose orders a node on the VM believes: given to it at its kit, and by no link alone."""

import os

import pytest
from click.testing import CliRunner

from edge_agent import keys
from firmware.authorise import MAX_AUTHORITIES
from firmware.flash import Records
from protocol import cbor, crypto, frames, messages, orders
from protocol import session_events as ev
from protocol.identity import Identity, generate_steps
from tests.firmware.test_app import events
from tests.firmware.test_orders import NEVER_US, order, result
from tools import cli


def somebody() -> Identity:
    return crypto.run(generate_steps(os.urandom(64)))


@pytest.fixture
def agent(make_node, make_agent):
    node = make_node()
    agent = make_agent(node.port)
    agent.node = node
    agent.until(lambda: len(agent.of(frames.KIND_VITALS)) > 1)
    return agent


def asked(agent, authority: list[bytes]) -> "bool | int":
    """Ask the node to believe it; whether it signed that, or its refusal."""
    before = len(agent.events)
    agent.session.request_pairing(os.urandom(16), authority)

    def said() -> "ev.PairReply | ev.Refused | None":
        found = [one for one in agent.events[before:] if isinstance(one, (ev.PairReply, ev.Refused))]
        return found[0] if found else None

    one = agent.until(said)
    return one.signature_ok if isinstance(one, ev.PairReply) else one.code


def measured_by(agent, authority: Identity) -> int:
    """The node's answer to a limit that the authority sets."""
    body = order({frames.SET_LIMITS: [[frames.EVENT_HR_HIGH, 1300, 10]]}, expires=NEVER_US)
    boot = max(agent.frames)
    steps = orders.sign_steps(authority, agent.session.node_id, boot, frames.KIND_CONFIG, body)
    return result(agent, frames.KIND_CONFIG, crypto.run(steps))


def test_with_the_button_held_an_authority_is_believed_and_outlives_the_boot(agent, make_agent):
    authority = somebody()
    assert measured_by(agent, authority) == frames.RESULT_UNAUTHORISED
    agent.node.press(60)
    assert asked(agent, list(authority.public())) is True
    told = agent.until(lambda: events(agent, frames.EVENT_AUTHORITIES))
    assert told[0][2][frames.EVENT_TEXT] == authority.id.hex()
    assert measured_by(agent, authority) == frames.RESULT_DONE
    boots = len(agent.frames)
    agent.node.reset()
    agent.until(lambda: len(agent.frames) > boots and agent.of(frames.KIND_VITALS))
    assert measured_by(agent, authority) == frames.RESULT_DONE
    # And nobody, once that is what is held for.
    agent.node.press(60)
    assert asked(agent, []) is True
    assert measured_by(agent, authority) == frames.RESULT_UNAUTHORISED


def test_without_the_button_or_with_a_short_press_nobody_is(agent):
    authority = somebody()
    assert asked(agent, list(authority.public())) == messages.REFUSE_CONSENT
    # As somebody presses who agrees to a measurement.
    agent.node.press(1.0)
    assert asked(agent, list(authority.public())) == messages.REFUSE_CONSENT
    assert measured_by(agent, authority) == frames.RESULT_UNAUTHORISED
    assert not events(agent, frames.EVENT_AUTHORITIES)
    assert not (agent.node.flash_dir / "state" / "authorities").exists()


def test_an_agents_key_is_no_authoritys(agent):
    agent.node.press(60)
    assert asked(agent, list(agent.session.identity.public())) == messages.REFUSE_CONSENT
    assert not events(agent, frames.EVENT_AUTHORITIES)
    authority = somebody()
    assert asked(agent, list(authority.public())) is True


def test_it_takes_so_many_and_each_once(agent):
    believed = [list(somebody().public()) for _ in range(MAX_AUTHORITIES)]
    records = Records(str(agent.node.flash_dir / "state"))
    records.write("authorities", cbor.dumps([*believed, ["no", "keys"]]))
    agent.node.press(600)
    assert asked(agent, list(somebody().public())) == messages.REFUSE_CONSENT
    assert asked(agent, believed[1]) is True
    assert cbor.loads(records.read("authorities")) == believed


def test_the_command_pairs_and_has_the_authority_believed(make_node, tmp_path):
    key = tmp_path / "clinic.key"
    authority = keys.create(key, "authority")
    other = tmp_path / "other.key"
    keys.create(other, "collector")
    node = make_node()
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nstate_dir = "{tmp_path / "agent"}"\n')

    def pair(*more: str):
        words = ["pair", "--config", str(config), "--port", node.port, "--yes", *more]
        return CliRunner().invoke(cli.main, words)

    assert pair().exit_code == 0
    for wrong in (tmp_path / "agent" / "agent.pub", keys.public_path(other)):
        refused = pair("--authority", str(wrong))
        assert refused.exit_code == 1 and "--role authority" in refused.output, refused.output
    node.press(600)
    done = pair("--authority", str(key.with_suffix(".pub")))
    assert done.exit_code == 0 and "believes this authority now" in done.output, done.output
    stored = cbor.loads(Records(str(node.flash_dir / "state")).read("authorities"))
    assert stored == [list(authority.public())]
    done = pair("--no-authorities")
    assert done.exit_code == 0 and "no authority any more" in done.output, done.output
    log = CliRunner().invoke(cli.main, ["audit", "--config", str(config), "--what", "pair"]).output
    lines = [line for line in log.splitlines() if " pair " in line]
    assert len(lines) == 3 and "authorit" not in lines[0], log
    assert f"authority={authority.id.hex()}" in lines[1] and "authorities=0" in lines[2], log
