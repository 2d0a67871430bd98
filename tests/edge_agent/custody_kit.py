"""A store with its custody, and a collector that hears only what the test passes on."""

from edge_agent.custody.custody import Custody
from edge_agent.keys import PublicKeys
from edge_agent.store.items import Frame, Hello
from edge_agent.store.opening import open_store
from protocol import batch as wire
from tests.edge_agent.fakes import StubCollector, identity

AGENT = identity(7)
NODE = identity(8)
BOOT = b"\0\0\0\1" + bytes(8)
CHAIN, OTHER = b"chain--1", b"chain--2"
H1, H2, H3 = b"1" * 32, b"2" * 32, b"3" * 32


class Clock:
    now = 1_790_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


class Kit:
    """A store with its custody, and a collector that hears only what the test passes on."""

    forwarders = required = frozenset({"mqtt"})

    def __init__(self, path, collector: bool = True) -> None:
        self.path = path
        self.far = StubCollector(AGENT)
        self.configured = collector
        self.clock = Clock()
        self.next = 0
        self.open()

    def open(self) -> "Kit":
        self.store, self.opening = open_store(self.path, AGENT.id, self.clock())
        keys = PublicKeys(*self.far.identity.public()) if self.configured else None
        self.custody = Custody(self.store, AGENT, keys, 20_000, self.clock)
        self.custody.chain.decide(self.forwarders, self.required)
        self.store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
        return self

    def reopen(self) -> "Kit":
        self.store.close()
        return self.open()

    def frames(self, n: int, size: int = 50) -> None:
        group = [Frame(NODE.id, BOOT, self.next + i, bytes(size), self.clock()) for i in range(n)]
        self.next += n
        self.store.commit(group)

    def ask(self):
        return self.custody.take(self.far.take("ask", self.custody.question()) or b"", "mqtt")

    def make(self) -> list[int]:
        made = []
        while (batch := self.custody.make()) is not None:
            made.append(batch[0])
        return made

    def deliver(self, *batches: int):
        return [
            self.custody.take(self.far.take("batch", self.custody.message("mqtt", b)) or b"", "mqtt")
            for b in batches
        ]

    def heads(self) -> list[dict]:
        rows = self.store.db.execute("SELECT signed FROM batches ORDER BY id").fetchall()
        return [wire.parse_head(wire.verify_head(signed, AGENT.ed_pub)) for (signed,) in rows]
