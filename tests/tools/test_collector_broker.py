"""The demo's broker: says when it listens, and ends when it no longer answers."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.demo.broker import LOOPBACK, answers, command, free_port
from tools.demo.processes import Child

ROOT = Path(__file__).resolve().parents[2]

# A broker whose inside dies while the process and its socket live on.
DEAF = """
import socket

class IotCoreBroker:
    def __init__(self, config_path):
        self.port = int(open(config_path).read().split("127.0.0.1:")[1].split('"')[0])

    def check_ports(self):
        pass

    def run_forever(self):
        with socket.create_server(("127.0.0.1", self.port)) as server:
            while True:
                server.accept()[0].close()
"""


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_refused(port):
    result = CliRunner().invoke(command, ["--port", port])
    assert result.exit_code == 2
    assert "--port" in result.output


def test_a_broker_that_answers_does(tmp_path):
    pytest.importorskip("iotcore", reason="no embedded broker here")
    broker = Child("broker", ["broker"], tmp_path / "broker.log", ready="listening on ")
    try:
        port = int(broker.said.rpartition(":")[2])
        for _ in range(200):
            assert answers(port, 60)
    finally:
        broker.stop()


def test_nobody_and_somebody_who_says_nothing_do_not_answer():
    assert not answers(free_port(), 0.3)
    with socket.create_server((LOOPBACK, 0)) as silent:
        assert not answers(silent.getsockname()[1], 0.3)


@pytest.mark.parametrize(
    "reply", [b"", b"\x20", b"\x20\x03\x00\x87\x00", b"\x20\x02\x00\x00", b"HTTP/1.1 400"]
)
def test_a_refusal_or_half_an_answer_is_none(reply):
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        assert not answers(server.getsockname()[1], 2)
        thread.join()


def test_a_dead_broker_in_a_living_process_ends_it_with_a_sentence(tmp_path):
    package = tmp_path / "iotcore"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "iotcore.py").write_text(DEAF)
    ended = subprocess.run(
        [sys.executable, "-m", "tools.cli", "broker"],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "listening on" in ended.stdout
    assert "no longer answers" in ended.stderr
    assert "Traceback" not in ended.stderr
