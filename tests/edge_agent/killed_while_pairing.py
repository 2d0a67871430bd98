"""`vitalwire agent run` that is killed (SIGKILL) before the step KILL_AT of keeping a pairing: before and
after its statement, and at each operation on the files of paired and of expected nodes. Run by
test_claims_killed.
"""

import os
import signal
import threading
from typing import Any

import click

from edge_agent import files
from edge_agent.cli.main import commands
from edge_agent.nodes import claims, kit, peers

LEFT = [int(os.environ["KILL_AT"])]
INSIDE = threading.local()


def step() -> None:
    if LEFT[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    LEFT[0] -= 1


class Os:
    """The module os of edge_agent.files, whose writes are steps."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "fsync", "replace", "close"):
            return real

        def stepped(*words: Any, **more: Any) -> Any:
            if getattr(INSIDE, "yes", False):
                step()
            return real(*words, **more)

        return stepped


def watched(module: Any) -> None:
    whole = module.write_atomically

    def write(*words: Any, **more: Any) -> None:
        INSIDE.yes = True
        try:
            whole(*words, **more)
        finally:
            INSIDE.yes = False

    module.write_atomically = write


def main() -> None:
    files.os = Os()  # pyright: ignore[reportAttributeAccessIssue]
    watched(peers)
    watched(kit)
    whole = claims.Claims._keep
    states: set[tuple[bool, bool]] = set()

    def keep(self: claims.Claims, pairing: Any) -> bool:
        # Asked again and again until the statement is on the disk: one step for each state.
        if (pairing.stated, pairing.durable) not in states:
            states.add((pairing.stated, pairing.durable))
            step()
        done = whole(self, pairing)
        if done:
            step()
        return done

    claims.Claims._keep = keep
    click.Group("vitalwire", commands=commands)()


if __name__ == "__main__":
    main()
