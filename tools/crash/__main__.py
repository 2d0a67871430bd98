"""`python -m tools.crash`: kills, power cuts, failing disks, clock steps, backups; nothing may be lost."""

import asyncio
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from tools.crash.campaign import Campaign, Outcome, Plan
from tools.crash.postgres import Postgres
from tools.crash.world import World
from tools.faults.cuts import Wrong, begin, live
from tools.services.server import ServerError


@click.command()
@click.option("--seed", type=int, help="The same seed, the same order of events; drawn when not given.")
@click.option("--kills", type=click.IntRange(0), default=200, show_default=True)
@click.option("--disks", type=click.IntRange(0), default=20, show_default=True, help="Full or read-only.")
@click.option("--clocks", type=click.IntRange(0), default=20, show_default=True, help="Steps of up to a day.")
@click.option(
    "--restores", type=click.IntRange(0), default=3, show_default=True, help="Old backups put back."
)
@click.option(
    "--cuts", type=click.IntRange(0), default=200, show_default=True, help="Power cuts of the store."
)
@click.option(
    "--databases", type=click.IntRange(0), default=0, help="Ends of a PostgreSQL that is started for that."
)
@click.option(
    "--rekeys", type=click.IntRange(0), default=5, show_default=True, help="Changes of the store's key."
)
@click.option("--nodes", type=click.IntRange(1), default=8, show_default=True)
@click.option("--collectors", type=click.IntRange(1), default=1, show_default=True)
@click.option("--database", help="postgresql://… that the collectors write; an SQLite file when not given.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the outcome here.")
@click.option("--keep", is_flag=True, help="Keep the folder with stores and logs also after a good end.")
def main(
    seed: int | None,
    kills: int,
    disks: int,
    clocks: int,
    restores: int,
    cuts: int,
    databases: int,
    rekeys: int,
    nodes: int,
    collectors: int,
    database: str | None,
    json_path: Path | None,
    keep: bool,
) -> None:
    """Kill agent, broker and collectors at random while nodes measure, and account for every frame.

    \b
    Example:
      python -m tools.crash --seed 7 --kills 200 --cuts 200
      python -m tools.crash --databases 30 --collectors 3 --kills 60
    """
    if databases and database is not None:
        raise click.UsageError("--databases ends a server of its own, not the one of --database")
    if collectors > 1 and database is None and not databases:
        raise click.UsageError("several collectors share one database: give --database postgresql://…")
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    click.echo(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="vitalwire-crash-"))
    plan = Plan(seed, kills, disks, clocks, restores, nodes, 20.0, collectors, databases, rekeys)
    with _server(databases) as server:
        if server is not None:
            database = server.url(server.make_database())
        world = World(folder, collectors, database, server)
        outcome = asyncio.run(Campaign(plan, world, _progress).run())
    _cut_power(outcome, seed, cuts)
    if sys.stderr.isatty():
        click.echo(err=True)
    _report(outcome)
    if json_path is not None:
        json_path.write_text(json.dumps(vars(outcome), indent=1) + "\n", encoding="utf-8")
    if outcome.problems or keep:
        click.echo(f"stores and logs: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(bool(outcome.problems))


@contextmanager
def _server(databases: int) -> Generator[Postgres | None]:
    if not databases:
        yield None
        return
    try:
        server = Postgres()
    except ServerError as e:
        raise click.ClickException(f"--databases: {e}") from None
    try:
        yield server
    finally:
        server.remove()


def _cut_power(outcome: Outcome, seed: int, cuts: int) -> None:
    """So many power cuts in the lives of stores by themselves, each at its own write."""
    life = seed
    with tempfile.TemporaryDirectory(prefix="vitalwire-cuts-") as base:
        fresh = begin(Path(base))
        while outcome.done["power cuts of a store"] < cuts and not outcome.problems:
            with tempfile.TemporaryDirectory(dir=base) as folder:
                try:
                    outcome.done["power cuts of a store"] += live(Path(folder), fresh, life).cut
                except Wrong as e:
                    outcome.problems.append(f"python -m tools.faults --cuts 1 --seed {life}: {e}")
            life += 1


def _progress(n: int, of: int, line: str) -> None:
    """In place on a terminal; elsewhere a line now and then."""
    if sys.stderr.isatty():
        click.echo(f"\r{n} of {of}: {line}\x1b[K", nl=False, err=True)
    elif n % max(1, of // 10) == 0:
        click.echo(f"{n} of {of}: {line}", err=True)


def _report(outcome: Outcome) -> None:
    for what, count in sorted(outcome.done.items()):
        click.echo(f"{count:6} {what}")
    click.echo(f"{outcome.produced:6} frames made in {outcome.seconds:.0f} s")
    for problem in outcome.problems:
        click.echo(f"FAILED  {problem}")
    if not outcome.problems:
        click.echo("every frame is at the collector once; chains, receipts and ledger hold")


if __name__ == "__main__":
    main()
