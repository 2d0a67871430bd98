"""`vitalwire bridge`: what it serves, and what it says is wrong."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from boards.virtual.remote_bus import Bridge, RemoteSPI
from drivers.max30003 import Max30003
from tests.boards.bridge_line import PATIENCE_S, ROOT, FdStream, ticks_diff, ticks_ms


def test_the_command_serves_a_tcp_emulation(tmp_path: Path) -> None:
    """`vitalwire bridge --port socket://...`, as for an emulated board whose UART is a TCP server."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    code = "from boards.virtual.bridge_cli import bridge; bridge()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--port", f"socket://127.0.0.1:{port}", "--model", "--seconds", "120"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        listener.settimeout(PATIENCE_S)
        connection = listener.accept()[0]
        with connection:
            bridge = Bridge(FdStream(connection.fileno()), ticks_ms, ticks_diff, timeout_ms=2000)
            ecg = Max30003(RemoteSPI(bridge))
            ecg.check()
            assert bridge.info()["source_ecg"] == 2
        connection = listener.accept()[0]  # it comes back by itself
        with connection:
            Bridge(FdStream(connection.fileno()), ticks_ms, ticks_diff, timeout_ms=2000)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
        listener.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "x", "--record", "a", "--model"], "exclude each other"),
        (["--port", "x", "--record", "/nowhere/100"], "no such file"),
        (["--port", "loopx://y", "--model"], "not a port or URL"),
        (["--port", "x", "--model", "--spo2", "30"], "50<=x<=100"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str) -> None:
    from click.testing import CliRunner

    from boards.virtual.bridge_cli import bridge

    result = CliRunner().invoke(bridge, arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
