"""`vitalwire collector order` at a real Mosquitto: what the broker refuses is said, at once or at the end."""

from pathlib import Path
from typing import Any

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.remote.ordering import Ordering, new_command
from protocol import remote
from tests.edge_agent.command_world import AGENT, CLINIC, NODE, UNIX_MS
from tests.services import Authority
from tools.collector.orders import Unanswered, order
from tools.collector.service import Broker

TOPIC = f"vitalwire/1/{AGENT.id.hex()}"


def said_of(broker: Broker, valid_s: float) -> str:
    command = new_command(CLINIC, AGENT.id, NODE.id, remote.IDENTIFY, None, UNIX_MS)
    with pytest.raises(Unanswered) as caught:
        order(broker, AGENT.id, Ordering(CLINIC, PublicKeys(*AGENT.public()), command), valid_s, print)
    return str(caught.value)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        ("topic read {topic}/answer", "let us publish"),
        ("topic readwrite {topic}/#", "the agent did not answer"),
    ],
)
def test_a_broker_that_forbids_it_is_named(
    tmp_path: Path, mosquitto: Any, authority: Authority, allowed: str, said: str
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"user clinic\n{allowed.format(topic=TOPIC)}\n")
    acl.chmod(0o600)
    far = mosquitto(authority, lines=(f"acl_file {acl}",))
    certificate, key = authority.client("clinic")
    broker = Broker("127.0.0.1", far.port, True, None, None, authority.ca_file, certificate, key)
    patience_s = 1.0 if "agent" in said else 60.0
    assert said in said_of(broker, patience_s)


def test_certificates_that_do_not_fit_are_told_in_words(
    tmp_path: Path, mosquitto: Any, authority: Authority
) -> None:
    far = mosquitto(authority)
    none = Broker("127.0.0.1", far.port, True, ca_file=authority.ca_file)
    assert "client certificate" in said_of(none, 1.5)
    stranger = Authority(tmp_path / "stranger")
    other = Broker("127.0.0.1", far.port, True, ca_file=stranger.ca_file)
    assert "ca_file must hold it" in said_of(other, 1.5)
