"""The agent's command about what was done: `audit`."""

import json
from contextlib import closing
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.commanding import config_option, fail, told
from edge_agent.people_asking import EXAMPLE, moment, shown_time
from edge_agent.readable import printable, readable


@click.command("audit")
@config_option
@click.option("--since", help=f"From when on, ISO 8601 ({EXAMPLE}).")
@click.option("--what", help="These actions only, such as assign, consent, erase, export, ordered.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def audit_command(config_path: Path | None, since: str | None, what: str | None, as_json: bool) -> None:
    """Show who did what, to whom, when: the statements in the signed chain, and that it is whole.

    Exit status 1 if a line, or the chain around it, does not verify.

    \b
    Example:
      vitalwire audit --since 2026-11-01 --what consent
    """
    from edge_agent import audit
    from edge_agent.keys import load_public, public_path
    from edge_agent.store import database
    from edge_agent.store.database import open_reader

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: the agent has not run with this state directory")
    agent = load_public(public_path(config.key))
    try:
        with closing(open_reader(config)) as db:
            db.execute("BEGIN")
            found = list(audit.lines(db, 0 if since is None else moment(since), what))
            checked = audit.verify(db, agent, {line.batch for line in found if line.batch is not None})
    except (database.Error, UnicodeDecodeError) as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire verify says more)")
    for line in found:
        if as_json:
            shown = line._asdict() | {"at": shown_time(line.at_ms), "signed": line.batch in checked.good}
            click.echo(json.dumps(readable(shown), ensure_ascii=False))
        else:
            on = line.on.hex() if isinstance(line.on, bytes) else str(line.on)
            more = " ".join(f"{name}={value}" for name, value in readable(line.more).items())
            seal = " " if line.batch in checked.good else "-" if line.batch is None else "!"
            click.echo(printable(f"{seal} {shown_time(line.at_ms)}  {line.what}  {on}  by {line.by}  {more}"))
    waiting = sum(line.batch is None for line in found)
    click.echo(f"{len(found)} lines; {waiting} are in no signed batch yet (-)", err=True)
    for sentence in checked.wrong:
        click.echo(printable(f"FAILED  {sentence}"), err=True)
    if checked.wrong:
        raise SystemExit(1)
