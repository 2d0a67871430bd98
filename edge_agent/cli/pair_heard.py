"""What the agent that runs says of its ports, and of the node on its cable that nobody has paired."""

import os
import time
from typing import Any

from edge_agent.cli.commanding import fail
from edge_agent.config import Config

POLL_S = 0.3
# A node that is there says hello at least so often.
HEARD_MS = 30_000
# An agent that runs writes its status at least so often, unless its disk is stuck or its store is opened.
REPORT_S = 10.0


def runs(config: Config) -> bool:
    """Whether an agent does."""
    from edge_agent.ops.doctor_machine import holder

    return holder(config.state_dir / "agent.lock") is not None


def holds(config: Config, port: str) -> bool:
    """Whether the agent that runs holds that port. One that has just begun, or found the port, says so in its
    next report.
    """
    from edge_agent.ops import status

    real = os.path.realpath
    began_ms, deadline = time.time_ns() // 1_000_000, time.monotonic() + REPORT_S
    while runs(config):
        found = status.read(config.status)
        if found is not None:
            if any(real(str(link["port"])) == real(port) for link in found["links"]):
                return True
            if found["written_ms"] >= began_ms:
                return False
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return False


def heard(config: Config, port: str | None, wait_s: float) -> bytes:
    """The fingerprint of the one node without an agent that the running agent hears: on that port; else on
    its cables, for over a radio anybody may say that he is one. Ends the command where there is none.
    """
    deadline = time.monotonic() + wait_s
    while True:
        there = _strangers(config)
        near = [one for one in there if _is_near(one["link"], port)]
        free = [one for one in near if one["fingerprint"]]
        if len(free) == 1:
            return bytes.fromhex(free[0]["fingerprint"])
        if free:
            fail(f"{len(free)} nodes without an agent are there: {_listed(free)}: give --label or --port")
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    if near:
        fail(
            f"{_listed(near)} has another agent: unpair it there; or give its --label, and hold its button,"
            " and it has two"
        )
    if there and port is None:
        fail(
            f"no node without an agent is on a cable; {_listed(there)}: give its --label, and hold its button"
        )
    fail(f"no node without an agent has said hello within {wait_s:g} s (vitalwire pair list shows all)")


def _strangers(config: Config) -> list[dict[str, Any]]:
    """Who has said hello of late and is not paired, as the agent's status has them."""
    from edge_agent.ops import status

    now_ms = time.time_ns() // 1_000_000
    listed = (status.read(config.status) or {}).get("unpaired", [])
    return [one for one in listed if now_ms - one["heard_ms"] < HEARD_MS]


def _is_near(link: str, port: str | None) -> bool:
    """Whether that is the port, or, where none is named, a cable: a radio's links have a blank in them."""
    from edge_agent.links.ports import is_url

    if port is not None:
        return os.path.realpath(link) == os.path.realpath(port)
    return " " not in link and not is_url(link)


def _listed(strangers: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['node']} on {one['link']}" for one in strangers)
