"""`python -m tools.faults`: cut the power of so many stores, and check each."""

import tempfile
import time
from pathlib import Path

import click

from tools.faults.cuts import Wrong, begin, live


@click.command()
@click.option("--cuts", default=1000, show_default=True, help="How many power cuts.")
@click.option("--seed", default=0, show_default=True, help="The first seed; each life has the next one.")
def main(cuts: int, seed: int) -> None:
    """Cut the power in the life of a store, open what is left, check it.

    \b
    Example:
      python -m tools.faults --cuts 200
      python -m tools.faults --cuts 1 --seed 4711
    """
    began, done, lives = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="vitalwire-cuts-") as base:
        fresh = begin(Path(base))
        while done < cuts:
            with tempfile.TemporaryDirectory(dir=base) as folder:
                try:
                    done += live(Path(folder), fresh, seed + lives).cut
                except Wrong as e:
                    raise click.ClickException(f"{e} (the seed gives the same life again)") from None
            lives += 1
    took = time.monotonic() - began
    click.echo(
        f"{done} power cuts in {lives} lives (seeds {seed} to {seed + lives - 1}), {took:.1f} s: all held"
    )


if __name__ == "__main__":
    main()
