"""`vitalwire node run`, short of the node: whose flash it is, and what it says of it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.lock import hold
from firmware.flash import Records
from firmware.keys import KeyStore
from protocol import crypto
from protocol.identity import fingerprint_text
from tools import node


def test_a_flash_that_another_node_runs_on_is_refused(tmp_path: Path) -> None:
    with hold(tmp_path / node.LOCK):
        second = CliRunner().invoke(node.run, ["--flash", str(tmp_path), "--model"])
    assert second.exit_code == 1
    assert f"another node (pid {os.getpid()}) runs on this flash" in second.output


def test_the_fingerprint_is_the_one_that_pairing_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "identity"
    assert not node.show_identity(record)
    record.write_bytes(b"VWR1half")
    assert not node.show_identity(record)
    record.unlink()
    made = crypto.run(KeyStore(Records(str(tmp_path))).identity_steps(os.urandom, True))
    assert node.show_identity(record)
    assert fingerprint_text(made.fingerprint) in capsys.readouterr().out
