"""What is no finite number, or out of an option's range, is refused in words before anything runs."""

import click
import pytest
from click.testing import CliRunner

from boards.virtual.bridge_cli import bridge
from boards.virtual.option_ranges import PRESSURES, FiniteRange
from tools.demo.command import command as demo
from tools.node import run as node

OPTIONS = [(demo, "--speed"), (demo, "--seconds"), (node, "--speed"), (node, "--hr"), (node, "--spo2")]
OPTIONS += [(bridge, "--" + name) for name in ("speed", "seconds", "hr", "spo2")]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "1e999"])
def test_what_is_not_finite_is_refused(command: click.Command, option: str, value: str) -> None:
    port = ["--port", "none"] if command is bridge else []
    result = CliRunner().invoke(command, [*port, "--model", option, value])
    assert result.exit_code == 2 and option in result.output and "not a finite number" in result.output


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [(node, "--hr", "0"), (node, "--hr", "1e9"), (node, "--spo2", "49"), (demo, "--seconds", "0")],
)
def test_what_is_out_of_range_is_refused(command: click.Command, option: str, value: str) -> None:
    port = ["--port", "none"] if command is bridge else []
    result = CliRunner().invoke(command, [*port, "--model", option, value])
    assert result.exit_code == 2 and option in result.output and "not in the range" in result.output


def test_numbers_and_words_are_as_clicks_own() -> None:
    kind = FiniteRange(0, min_open=True)
    assert kind.convert("0.5", None, None) == 0.5
    with pytest.raises(click.BadParameter, match="not a valid float"):
        kind.convert("fast", None, None)


@pytest.mark.parametrize("value", ["128", "128/", "a/b", "82/128", "nan/80", "300/80", "128/20", "128/82/70"])
@pytest.mark.parametrize("command", [demo, bridge])
def test_what_is_no_blood_pressure_is_refused(command: click.Command, value: str) -> None:
    port = ["--port", "none"] if command is bridge else []
    result = CliRunner().invoke(command, [*port, "--model", "--bp", value])
    assert result.exit_code == 2 and "--bp" in result.output


def test_a_blood_pressure_is_said_as_people_say_it() -> None:
    assert PRESSURES.convert("128/82.5", None, None) == (128, 82.5)
