"""A short crash campaign on every run; `make crash` is the long one."""

import asyncio
import os
from dataclasses import replace

from tests.conftest import absent
from tools.crash.campaign import Campaign, Plan
from tools.crash.world import World, broker_program

SHORT = Plan(seed=0, kills=9, disks=2, clocks=2, restores=1, nodes=4, collectors=3, databases=2)


def test_nothing_is_lost_when_everything_is_killed_at_random(tmp_path, postgres, postgres_server):
    if broker_program() is None:
        absent("no Mosquitto: tools/services/install.sh installs Debian's")
    seed = int.from_bytes(os.urandom(4), "big")
    world = World(tmp_path / "world", SHORT.collectors, postgres, postgres_server)
    outcome = asyncio.run(Campaign(replace(SHORT, seed=seed), world, lambda *_: None).run())
    assert not outcome.problems, f"seed {seed}: {outcome.problems}"
    assert sum(n for what, n in outcome.done.items() if what.startswith("kills")) == SHORT.kills
    assert outcome.produced > 300
