"""The `vitalwire` command as a whole."""

import importlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent import extras
from tools import cli

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {
    "agent",
    "status",
    "ledger",
    "verify",
    "inspect",
    "keys",
    "pair",
    "collector",
    "demo",
    "build",
    "bridge",
}


def test_every_promised_command_is_there_and_explains_itself():
    context = click.Context(cli.main)
    names = cli.main.list_commands(context)
    assert set(names) >= PROMISED
    for name in names:
        command = cli.main.get_command(context, name)
        assert command is not None, name
        assert command.get_short_help_str(), name
        result = CliRunner().invoke(cli.main, [name, "--help"])
        assert result.exit_code == 0, name


def test_a_missing_extra_stops_only_what_needs_it(monkeypatch):
    real = importlib.import_module

    def without_numpy(module, *rest):
        if module == "tools.demo.command":
            raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", without_numpy)
    result = CliRunner().invoke(cli.main, ["demo", "--seconds", "3"])
    assert result.exit_code == 1
    assert f"pip install -e '{ROOT}[demo]'" in result.output
    listed = CliRunner().invoke(cli.main, ["--help"])
    assert listed.exit_code == 0
    assert "not available" in listed.output


def test_a_fault_of_our_own_is_not_taken_for_a_missing_extra(monkeypatch):
    monkeypatch.setitem(cli.PLACES, "demo", cli.Place("tools.no_such_module"))
    with pytest.raises(ModuleNotFoundError):
        cli.main.get_command(click.Context(cli.main), "demo")


def test_the_nearest_command_is_named():
    result = CliRunner().invoke(cli.main, ["colector"])
    assert result.exit_code == 2
    assert "collector" in result.output


def test_the_agent_starts_without_the_demos_packages():
    """An edge device has neither numpy nor wfdb: nothing that it runs may import them."""
    script = (
        "import sys\n"
        "for name in ('numpy', 'wfdb', 'iotcore', 'rich'): sys.modules[name] = None\n"
        "from tools.cli import main\n"
        "main(['agent', 'run', '--help'], standalone_mode=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Run the agent" in done.stdout


def test_an_extra_is_installed_from_where_this_copy_came_from(tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "SOURCE", tmp_path)
    told = {"url": "file:///opt/src/vitalwire", "dir_info": {}}
    monkeypatch.setattr(metadata.PathDistribution, "read_text", lambda self, name: json.dumps(told))
    assert extras.remedy("fhir") == "pip install 'vitalwire[fhir] @ file:///opt/src/vitalwire'"
    told.clear()
    assert extras.remedy("fhir").endswith("@ file:///path/to/vitalwire'")
