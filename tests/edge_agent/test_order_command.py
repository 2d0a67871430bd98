"""`vitalwire order` and `vitalwire authority`, as somebody at the agent's machine types them."""

import os
from pathlib import Path
from typing import Any

import pytest

from edge_agent import keys
from edge_agent.cli import nodes
from protocol import frames, remote
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_orders_that_need_no_authority_and_those_that_do(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_by: list[bytes] = []
    real = remote.make_answer

    def made(agent: Any, answer: Any, handovers: Any = ()) -> bytes:
        signed_by.append(agent.ed_pub)
        return real(agent, answer, handovers)

    monkeypatch.setattr(remote, "make_answer", made)
    clinic = kit.folder / "clinic.key"
    keys.create(clinic, "authority")
    keys.create(kit.folder / "collector.key", "collector")
    with FakeNode(Pty(), agent=kit.identity) as node, Running(kit.config(node.pipe.name)):
        kit.pair(node)
        config = ["--config", written(kit, node.pipe.name)]
        wait_until(lambda: kit.status["nodes"][0]["clock"], "a clock")
        who = node.identity.id.hex()

        marked = typed("order", *config, who, "mark", "--text", "tea", "--reason", "the family asked")
        assert (marked.exit_code, "answers: done" in marked.output) == (0, True), marked.output
        assert node.orders[-1][1][frames.ORDER_ARGS] == {1: "tea"}
        log = typed("audit", *config, "--what", "ordered").output
        assert f"uid {os.getuid()}" in log and "reason=the family asked" in log, log
        long = typed("order", *config, who, "mark", "--text", "x" * 65)
        assert long.exit_code == 1 and "64 at most" in long.output
        unsigned = typed("order", *config, who, "bp")
        assert unsigned.exit_code == 1 and "needs an authority" in unsigned.output
        wrong = typed("order", *config, who, "identify", "--mmhg", "50")
        assert wrong.exit_code == 1 and "takes no --mmhg" in wrong.output
        strip = typed("order", *config, who, "strip")
        assert strip.exit_code == 1 and "--authority" in strip.output

        stranger = typed("order", *config, who, "identify", "--authority", str(clinic))
        assert stranger.exit_code == 1 and "authority add" in stranger.output, stranger.output
        for wrong in ("agent.pub", "collector.pub"):
            refused = typed("authority", "add", *config, str(kit.folder / wrong), "--may", "all")
            assert refused.exit_code == 1 and "--role authority" in refused.output, refused.output
        of = ["--node", who, "--person", "00112233445566778899aabbccddeeff"]
        public = str(clinic.with_suffix(".pub"))
        assert typed("authority", "add", *config, public, "--may", "identify", *of).exit_code == 0
        log = typed("audit", *config, "--what", "authority allowed").output
        assert f"nodes={who}" in log and f"persons={of[-1]}" in log, log
        added = typed("authority", "add", *config, str(clinic.with_suffix(".pub")), "--may", "identify")
        assert "identify; all nodes; the agent that runs knows at once" in added.output
        assert added.exit_code == 0 and "may order: identify" in added.output
        assert "all nodes now" in added.output and "all persons now" in added.output, added.output
        listed = typed("authority", "list", *config)
        assert "identify; all nodes" in listed.output
        done = typed("order", *config, who, "identify", "--authority", str(clinic))
        assert done.exit_code == 0 and done.output.rstrip().endswith("done"), done.output
        assert set(signed_by) == {kit.identity.ed_pub}
        signed_by.clear()
        assert typed("keys", "rotate", *config).exit_code == 0
        done = typed("order", *config, who, "identify", "--authority", str(clinic))
        assert done.exit_code == 0 and done.output.rstrip().endswith("done"), done.output
        assert signed_by and kit.identity.ed_pub not in signed_by, "a retired key signs nothing"
        refused = typed("order", *config, who, "restart", "--authority", str(clinic))
        assert refused.exit_code == 1 and refused.output.count("not_authorised") == 1, refused.output
        key_id = keys.load(clinic).id.hex()
        # The remedy takes nothing away.
        assert f"authority add {key_id}.pub --may identify --may restart" in refused.output
        narrow = typed(
            "authority", "add", *config, public, "--may", "limits", "--node", who, "--name", "heart"
        )
        assert (
            f"before: identify; all nodes\nnot any more: identify\nmay order: limits; {who}" in narrow.output
        )
        assert "wider" not in narrow.output
        assert typed("authority", "remove", *config, "lungs").exit_code == 1
        assert typed("authority", "remove", *config, "heart").exit_code == 0
        assert typed("authority", "add", *config, public, "--may", "limits").exit_code == 0
        assert typed("authority", "remove", *config, key_id[:4]).exit_code == 0
        assert typed("authority", "remove", *config, key_id).exit_code == 1
        ordered = [body[frames.ORDER_WHAT] for _, body in node.orders]
        assert frames.OP_RESTART not in ordered and frames.OP_MEASURE_BP not in ordered
    codes = [code for code, _, _ in kit.ledger.statements]
    assert {"command_received", "command_refused", "order_ended"} <= set(codes)


def test_an_agent_that_does_not_answer_leaves_no_doubt_of_what_holds(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*args: object, **_: object) -> None:
        return None

    clinic = keys.create(kit.folder / "clinic.key", "authority")
    config = ["--config", written(kit)]
    public = str(kit.folder / "clinic.pub")
    assert typed("authority", "add", *config, public, "--may", "all").exit_code == 0
    monkeypatch.setattr(nodes, "answer_of", silent)
    for words in (["add", public, "--may", "bp"], ["remove", clinic.id.hex()]):
        hung = typed("authority", words[0], *config, *words[1:])
        assert hung.exit_code == 1 and "nothing has changed" in hung.output, hung.output
    assert "authorities.toml" in hung.output and ".pub" in hung.output
    assert "all; all nodes" in typed("authority", "list", *config).output
