"""A command that finds the store's file damaged tells the agent that runs, which acknowledges into it."""

import time
from contextlib import suppress

import click

from edge_agent.config import Config
from edge_agent.nodes.errands import REOPEN, Errands
from edge_agent.ops.doctor_machine import holder
from edge_agent.store.errors import StoreError
from edge_agent.store.integrity import damage
from edge_agent.store.keys import source_of, unlock

WAIT_MS = 60_000


def tell_agent(config: Config) -> None:
    """Where an agent runs on a store whose file is damaged, have it open that anew: it is set aside then, and
    a new one begun, into which goes what is acknowledged from now on. Where the disk takes no errand, it
    finds out by itself.
    """
    if holder(config.state_dir / "agent.lock") is None:
        return
    with suppress(StoreError, OSError):
        if damage(config.store, unlock(config.store, source_of(config))) is None:
            return
        Errands(config.errands).put(REOPEN, b"", time.time_ns() // 1_000_000 + WAIT_MS)
        click.echo("the agent that runs was told: it sets that store aside and begins another", err=True)
