"""A store with a minute of vitals in signed batches, the channel that forwards them, and a server."""

import asyncio
from contextlib import contextmanager

from edge_agent.backoff import Backoff
from edge_agent.config import Config, FhirConfig
from edge_agent.custody.custody import Custody
from edge_agent.custody.delivery import Delivery
from edge_agent.forward.fhir import FhirChannel
from edge_agent.forward.fhir_shelf import letters, retry_file
from edge_agent.nodes.ingest import Ingest, Worker
from edge_agent.store.items import Entry, Frame, Hello
from edge_agent.store.opening import open_store
from protocol import cbor
from protocol import frames as f
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE
from tests.edge_agent.fhir_kit import ANNA, SECOND, Known
from tests.fhir_server import FhirServer, fhir_server

EPOCH_MS = 1_790_000_040_000  # the beginning of a minute
HOUR_MS = 3_600_000


class World:
    """A store with a minute of vitals in signed batches, and the channel that forwards them."""

    def __init__(self, folder, url: str, **options) -> None:
        self.folder, self.options = folder, {"url": url, **options}
        self.now_ms = EPOCH_MS
        self.people = Known()
        self.people.persons = {NODE.id: ANNA}
        self.store, _ = open_store(folder / "agent.db", AGENT.id, self.now_ms)
        self.store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
        boot = f.unpack(f.pack(f.KIND_BOOT, 0, _BOOT))[2]
        self.put(0, f.KIND_BOOT, 0, boot)
        fit = cbor.dumps([2, NODE.id, BOOT, 0, EPOCH_MS * 1000, 0, 900])
        self.store.commit([Entry(2, fit, self.now_ms)])
        self.open()

    def open(self) -> None:
        self.worker = Worker()
        self.custody = Custody(self.store, AGENT, None, 20_000, lambda: self.now_ms)
        self.custody.chain.decide(frozenset({"fhir"}), frozenset({"fhir"}))
        config = Config(self.folder, self.folder / "agent.key", (), fhir=FhirConfig(**self.options))
        self.delivery = Delivery(
            config, self.custody, self.worker, Ingest(self.store, self.worker, 1), AGENT.id
        )
        self.delivery.people = self.people
        channel = FhirChannel(
            config.fhir,
            self.delivery,
            AGENT.id,
            retry_file(self.folder),
            lambda: self.now_ms + HOUR_MS,
            Backoff(0.01, 0.02),
        )
        self.delivery.guards[0].channel = channel
        self.channel = channel

    def restart(self) -> None:
        self.worker.close()
        self.open()

    def put(self, seq: int, kind: int, t_us: int, body: dict) -> None:
        self.store.commit([Frame(NODE.id, BOOT, seq, f.pack(kind, t_us, body), self.now_ms)])

    def vitals(self, first: int, count: int) -> None:
        """A frame a second, a batch every 10 s."""
        for seq in range(first, first + count):
            self.now_ms = EPOCH_MS + seq * 1000
            self.put(seq + 1, f.KIND_VITALS, seq * SECOND, {1: 600 + seq % 60, 3: 974, 4: 601, 5: 210, 8: 0})
            if seq % 10 == 9:
                assert self.custody.make()

    def settle(self, steps: int = 60) -> None:
        """Steps of the channel until nothing more is to do, or so many."""

        async def main() -> None:
            try:
                for _ in range(steps):
                    if not await self.channel.step() and not self.channel.problem:
                        return
            finally:
                await self.channel.stop()

        asyncio.run(main())

    @property
    def open_batches(self) -> list[int]:
        return self.custody.chain.unreceipted("fhir", 1000)

    @property
    def letters(self) -> list[tuple[str, str]]:
        return [(one.item, one.reason) for one in letters(self.store.db, "fhir")]


_BOOT = {
    1: "0.1.0", 2: "virtual", 3: 1, 4: [NODE.ed_pub, NODE.x_pub], 7: [[0, "MAX30003", 4_000_000, 3050]], 8: 1
}  # fmt: skip


@contextmanager
def world(folder, authority, server_options=None, **options):
    with fhir_server(authority, **(server_options or {})) as server:
        made = World(folder, server.url, ca_file=authority.ca_file, **options)
        try:
            yield made, server
        finally:
            made.worker.close()
            made.store.close()


def whole(server: FhirServer, minutes: int = 1) -> None:
    """Everything that `World.vitals` makes of so many minutes is there, once."""
    for code in ("147842", "150456", "149530", "150448"):
        assert len(server.observations(code)) == minutes, code
    names = [one["identifier"][0]["value"] for one in server.kinds("Observation")]
    assert len(names) == len(set(names))
    assert len(server.kinds("Patient")) == 1 and len(server.kinds("Device")) == 2
    counts = [one["component"][-1]["valueQuantity"]["value"] for one in server.observations("147842")]
    assert counts == [60] * minutes
