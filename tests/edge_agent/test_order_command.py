"""`vitalwire order` and `vitalwire authority`, as somebody at the agent's machine types them."""

from pathlib import Path

import pytest

from edge_agent import keys
from protocol import frames
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_orders_that_need_no_authority_and_those_that_do(kit: Kit) -> None:
    clinic = kit.folder / "clinic.key"
    keys.create(clinic, "authority")
    with FakeNode(Pty(), agent=kit.identity) as node, Running(kit.config(node.pipe.name)):
        kit.pair(node)
        config = ["--config", written(kit, node.pipe.name)]
        wait_until(lambda: kit.status["nodes"][0]["clock"], "a clock")
        who = node.identity.id.hex()

        marked = typed("order", *config, who, "mark", "--text", "tea")
        assert (marked.exit_code, "answers: done" in marked.output) == (0, True), marked.output
        assert node.orders[-1][1][frames.ORDER_ARGS] == {1: "tea"}
        unsigned = typed("order", *config, who, "bp")
        assert unsigned.exit_code == 1 and "needs an authority" in unsigned.output
        wrong = typed("order", *config, who, "identify", "--mmhg", "50")
        assert wrong.exit_code == 1 and "takes no --mmhg" in wrong.output
        strip = typed("order", *config, who, "strip")
        assert strip.exit_code == 1 and "--authority" in strip.output

        stranger = typed("order", *config, who, "identify", "--authority", str(clinic))
        assert stranger.exit_code == 1 and "authority add" in stranger.output, stranger.output
        added = typed("authority", "add", *config, str(clinic.with_suffix(".pub")), "--may", "identify")
        assert added.exit_code == 0 and "may order: identify" in added.output
        listed = typed("authority", "list", *config)
        assert "identify; all nodes" in listed.output
        done = typed("order", *config, who, "identify", "--authority", str(clinic))
        assert done.exit_code == 0 and done.output.rstrip().endswith("done"), done.output
        refused = typed("order", *config, who, "restart", "--authority", str(clinic))
        assert refused.exit_code == 1 and "not_authorised" in refused.output
        key_id = keys.load(clinic).id.hex()
        assert typed("authority", "remove", *config, key_id).exit_code == 0
        assert typed("authority", "remove", *config, key_id).exit_code == 1
        ordered = [body[frames.ORDER_WHAT] for _, body in node.orders]
        assert frames.OP_RESTART not in ordered and frames.OP_MEASURE_BP not in ordered
    codes = [code for code, _, _ in kit.ledger.statements]
    assert {"command_received", "command_refused", "order_ended"} <= set(codes)
