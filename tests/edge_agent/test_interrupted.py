"""Commands that a signal ends: one line, the shells' status, and nothing is left of what they had asked."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent.cli.interrupted import GENTLY, interruptible
from edge_agent.nodes.errands import IDENTIFY, Errands
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import PATIENCE_S, Kit, wait_until
from tools.cli import main

ROOT = Path(__file__).parents[2]


@contextmanager
def handled(number, how):
    """As a process has it; what runs the tests may have handlers of its own."""
    before = signal.signal(number, how)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_ctrl_c_is_130_and_one_line(monkeypatch):
    for command in (interrupted, at_a_question):
        monkeypatch.setattr(main, "get_command", lambda ctx, name, command=command: command)
        result = CliRunner().invoke(main, ["anything"])
        assert result.exit_code == 130 and result.output.split() == ["Interrupted."], result.output


@click.command()
def interrupted():
    raise KeyboardInterrupt


@click.command()
def at_a_question():
    # As click does it when Ctrl-C answers a prompt.
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise click.Abort from None


def test_who_answers_a_question_with_no_has_not_been_interrupted():
    with pytest.raises(click.Abort), interruptible():
        raise click.Abort


@pytest.mark.parametrize("name", GENTLY)
def test_signals_that_end_do_so_as_ctrl_c_does_and_only_in_between(name):
    number = getattr(signal, name)
    undone = []
    with handled(signal.SIGINT, signal.default_int_handler), handled(number, signal.SIG_DFL):
        with pytest.raises(click.exceptions.Exit) as ended, interruptible():
            try:
                signal.raise_signal(number)
            finally:
                undone.append(number)
        assert signal.getsignal(number) == signal.SIG_DFL
    assert ended.value.exit_code == 128 + number and undone


def test_what_is_ignored_stays_so():
    with handled(signal.SIGHUP, signal.SIG_IGN), interruptible():
        signal.raise_signal(signal.SIGHUP)


def test_a_command_that_is_ended_takes_its_errand_back(tmp_path):
    kit = Kit(tmp_path)
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n')
    words = ["-m", "tools.cli", "identify", node.identity.id.hex(), "--config", str(config)]
    errands = Errands(kit.config().errands)
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True) as command:
        wait_until(lambda: errands.waiting(0), "it asks")
        command.send_signal(signal.SIGTERM)
        _, told = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 143 and told.splitlines()[-1] == "Ended." and "Traceback" not in told
    assert not errands.waiting(0)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_who_is_interrupted_while_asking_has_asked_nothing(tmp_path, monkeypatch, call):
    done = getattr(os, call)

    def interrupted(*args):
        done(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        Errands(tmp_path / "errands").put(IDENTIFY, bytes(8), 1 << 42)
    assert os.listdir(tmp_path / "errands") == []
