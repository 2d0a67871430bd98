"""Remote reach, put together: authorities, commands and strips of one agent (docs/remote.md)."""

import logging
import time
from collections.abc import Callable
from typing import Any

from edge_agent.custody.signing import Signing
from edge_agent.nodes.errands import COMMAND, Errand, Errands, said
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.ingest import Worker
from edge_agent.nodes.orders import Order
from edge_agent.remote.alarm_strips import AlarmStrips
from edge_agent.remote.authorities import Authorities
from edge_agent.remote.commands import Commander
from edge_agent.remote.commands_kept import Found, Kept
from edge_agent.remote.strips import Strips
from edge_agent.store.store import Store
from protocol import cose

log = logging.getLogger("vitalwire.commands")


class HubNodes:
    """What the hub knows of nodes, as the Commander asks for it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def paired(self, node: bytes) -> bool:
        """Whether it is paired with this agent."""
        return self._hub.lookup(node) is not None

    def live(self, node: bytes) -> tuple[bytes, int] | None:
        """(boot id, the boot's clock now in µs) where it is connected and its clock is known."""
        view = self._hub.views.get(node)
        if view is None or not view.live or view.boot is None:
            return None
        fix = view.fix(self._hub.unix_us())
        return None if fix is None else (view.boot, fix.t_us)

    def give(
        self, node: bytes, kind: int, name: str, body: dict[int, Any], boot: bytes, valid_s: float
    ) -> Order:
        """Orders.give."""
        return self._hub.orders.give(node, kind, name, body, boot, valid_s)

    def withdraw(self, order: Order) -> None:
        """Orders.withdraw."""
        self._hub.orders.withdraw(order)


class Remote:
    """Commands of one run of the agent. `found`: commands_kept.load() of its store; `signing()`: who signs
    answers now; `around_s`: seconds before and after an alarm whose waves become strips.

    `person_at(node, unix_ms)`: whose node it is; until it is set, nobody's.
    """

    def __init__(
        self,
        authorities: Authorities,
        hub: Hub,
        store: Store,
        worker: Worker,
        found: Found,
        signing: Callable[[], Signing],
        around_s: tuple[int, int] = (0, 0),
    ) -> None:
        nodes = HubNodes(hub)
        self.person_at: Callable[[bytes, int], bytes | None] = lambda node, at_ms: None

        def unix_ms() -> int:
            return hub.unix_us() // 1000

        def reject(cause: str, detail: str) -> None:
            hub.reject(cause, detail, "a command")

        def signer() -> tuple[cose.Signer | None, list[bytes]]:
            now = signing()
            return now.signer, now.handovers

        def person_at(node: bytes, at_ms: int) -> bytes | None:
            return self.person_at(node, at_ms)

        self.strips = Strips(store, worker, nodes, unix_ms, person_at)
        self.commander = Commander(
            hub.identity,
            authorities,
            Kept(hub.ingest.add, found),
            nodes,
            self.strips,
            unix_ms,
            time.monotonic,
            signer,
            person_at,
            reject,
        )
        self.strips.served = self.commander.served
        hub.orders.on_measured = self.commander.measured
        self.alarm_strips = AlarmStrips(store, worker, unix_ms, *around_s)
        hub.on_event = self.alarm_strips.heard
        self._answered: set[str] = set()
        self._problem = ""

    def by_broker(self, outlet: Any) -> None:
        """Have commands come and answers go by this outlet (forward.mqtt), before it is started."""
        outlet.commanded = self.commander.received
        self.commander.publish = outlet.answer

    def step(self, errands: Errands, waiting: list[Errand]) -> None:
        """Take up the commands among the errands, and move on what is under way."""
        self.commander.step()
        self.alarm_strips.step()
        mine = [errand for errand in waiting if errand.what == COMMAND]
        self._answered &= {errand.id for errand in mine}
        for errand in mine:
            if errand.id in self._answered:
                continue
            reply = self.commander.ask(bytes.fromhex(errand.data))
            if reply is None:
                continue
            try:
                errands.answer(errand, True, reply.hex())
                self._answered.add(errand.id)
                self._problem = ""
            except OSError as e:
                if self._problem != said(e):
                    log.warning("errands: %s; trying again", said(e))
                self._problem = said(e)

    async def stop(self) -> None:
        """End what was begun in the event loop; the next agent goes on with it."""
        await self.strips.stop()
        await self.alarm_strips.stop()

    def status(self) -> dict[str, Any]:
        """For status.json and people."""
        commander = self.commander
        return {
            "open": commander.open,
            "answered": dict(commander.answered),
            "problem": commander.problem,
            "alarm_strips": self.alarm_strips.status(),
        }
