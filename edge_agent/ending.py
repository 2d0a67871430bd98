"""The end of an agent's run, in bounded time: what is in hand is brought to its end, all else is ended."""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge_agent.beside import settled
from edge_agent.store import database
from edge_agent.tasks import end

if TYPE_CHECKING:
    from edge_agent.agent import Agent

log = logging.getLogger("vitalwire.agent")

STEP_S = 0.05
# How long the disk may take for what is in hand, how often errands go a step on, how long the collector may
# take for its receipts, and what was begun beside the event loop for its end.
LAST_COMMIT_S = 5.0
LAST_STEPS = 4
LAST_RECEIPTS_S = 2.0
LAST_BESIDE_S = 1.0


async def finish(agent: "Agent") -> None:
    """An orderly end: nothing more comes in, what is in hand is committed, signed and, if the broker is
    there, receipted; what nodes have answered to errands is carried out.
    """
    await hang_up(agent)
    for session in agent.sessions.values():
        session.stopped()
    agent.hub.keep_counts()
    try:
        async with asyncio.timeout(LAST_COMMIT_S):
            # Noted and stated, then removed and said; once more if a command changes the file just then.
            for _ in range(LAST_STEPS):
                agent.runner.step()
                await agent.ingest.flush()
                if not agent.runner.leaving:
                    break
                await asyncio.sleep(STEP_S)
            await agent.desk.finish()
    except TimeoutError:
        log.warning("the disk is too slow: what was not committed was not acknowledged either")
    await agent.delivery.make()
    await agent.delivery.last_receipts(LAST_RECEIPTS_S)


async def leave(agent: "Agent", *tasks: asyncio.Task[Any]) -> None:
    """End `tasks` and what they began, whatever has become of the agent."""
    await end(*tasks)
    for part in (agent.desk, agent.rotation, agent.compaction, agent.remote):
        await part.stop()
    agent.working = False
    await hang_up(agent)
    await agent.delivery.stop()
    await agent.worker.run(agent.patrol.close)
    # What was being written may not come after the last words.
    await settled(LAST_BESIDE_S)
    # A store that has just failed cannot say what is in it.
    with suppress(database.Error):
        await agent.reporter.write("stopped")


async def hang_up(agent: "Agent") -> None:
    """End all links."""
    pools = [pool for pool in (agent.tcp, agent.ble) if pool is not None]
    await asyncio.gather(*(one.stop() for one in (*agent.links.values(), *pools)))
