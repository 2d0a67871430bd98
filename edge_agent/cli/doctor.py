"""`vitalwire doctor`: the checks as a table, or as JSON."""

import json
import sys
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, told
from edge_agent.config import ConfigError
from edge_agent.ops.doctor import BAD, MARKS, WARN, Finding, Patient, all_checks, examine
from edge_agent.readable import printable


@click.command("doctor", short_help="Say what keeps the agent from its work, and the remedy.")
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="A list of check, state (good, warn, bad), what, remedy."
)
@click.option("--offline", is_flag=True, help="Ask no other machine: no broker, no FHIR server.")
@told
def doctor_command(config_path: Path | None, as_json: bool, offline: bool) -> None:
    """Say what on this machine keeps the agent from its work, and how to mend it. Nothing is changed.

    Run it as the agent's user. Exit status 1 when something stops the main job.

    \b
    Example:
      sudo -u vitalwire vitalwire doctor --config /etc/vitalwire/agent.toml
    """
    try:
        config = configuration.load(config_path)
    except ConfigError as e:
        what = "mend that line" if e.line else "mend that"
        findings = [Finding("configuration", BAD, str(e), f"{what}; nothing else can be checked before")]
    else:
        from edge_agent.ops.doctor_machine import holder

        running = holder(config.state_dir / "agent.lock")
        findings = list(examine(Patient(config, not offline, running), all_checks()))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=1, ensure_ascii=False))
    else:
        for line in lines(findings):
            click.echo(line)
    if any(finding.state == BAD for finding in findings):
        sys.exit(1)


def lines(findings: list[Finding]) -> list[str]:
    """A table for a person: a mark, the check, what was found, and under it what to do."""
    width = max(len(finding.check) for finding in findings)
    out: list[str] = []
    for check, state, what, remedy in findings:
        out.append(printable(f"{MARKS[state]} {check:{width}}  {what}"))
        if remedy:
            out.append(printable(f"  {'':{width}}  → {remedy}"))
    wrong = sum(finding.state == BAD for finding in findings)
    known = sum(finding.state == WARN for finding in findings)
    out.append(
        f"{wrong} in the way, {known} to know."
        if wrong or known
        else "Nothing is in the way of the agent's work."
    )
    return out
