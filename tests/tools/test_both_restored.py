"""Agent and collector both restored from backups: no batch number is ever used for two batches."""

from pathlib import Path

from edge_agent.keys import PublicKeys
from edge_agent.ledger.ledger import ledger
from tests.edge_agent.custody_kit import AGENT, Kit
from tools.collector import status
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust


class RealCollector:
    """The reference collector in the place of the stub."""

    def __init__(self, identity, folder: Path) -> None:
        self.identity = identity
        self.path = folder / "collector.sqlite3"
        self.trust = Trust(folder / "agents")
        self.trust.add(PublicKeys(*AGENT.public()))
        self.store = Store(self.path)

    def take(self, kind: str, payload: bytes) -> bytes:
        intake = Intake(self.store, self.identity, self.trust)
        (reply,) = intake.handle(f"vitalwire/1/{AGENT.id.hex()}/{kind}", payload)
        return reply.payload

    def backup(self) -> bytes:
        self.store.close()
        data = self.path.read_bytes()
        self.store = Store(self.path)
        return data

    def restore(self, data: bytes) -> None:
        self.store.close()
        self.path.write_bytes(data)
        self.store = Store(self.path)

    def numbers(self) -> list[tuple[bytes, int]]:
        return self.store.db.execute("SELECT chain, number FROM batches ORDER BY id").fetchall()


def deliver(kit: Kit, batches: int) -> None:
    for _ in range(batches):
        kit.frames(1)
        kit.deliver(*kit.make())


def test_behind_a_hole(tmp_path):
    kit = Kit(tmp_path / "agent.db")
    far = kit.far = RealCollector(kit.far.identity, tmp_path)  # type: ignore[assignment]
    kit.ask()
    deliver(kit, 2)
    kit.store.close()
    agent_backup = kit.path.read_bytes()
    kit.open()
    kit.ask()
    collector_backup = far.backup()
    deliver(kit, 2)
    far.restore(collector_backup)
    # Batches go on before the agent has asked again; then its disk dies.
    deliver(kit, 2)
    assert [number for _, number in far.numbers()] == [0, 1, 4, 5]
    kit.store.close()
    kit.path.write_bytes(agent_backup)
    kit.path.with_name("agent.db-mark").unlink()
    kit.next = 10
    kit.open()
    verdict = kit.ask()
    assert "batch 5" in verdict.detail
    deliver(kit, 3)
    places = far.numbers()
    assert len(set(places)) == len(places) == 7, "no number twice"
    assert [number for chain, number in places if chain != places[0][0]] == [0, 1, 2]
    codes = {alarm["code"] for alarm in status.summary(far.store, 1 << 50)["alarms"]}
    assert "fork" not in codes and "chain_broken" not in codes and "gap" in codes
    kit.custody.ask_again(same_connection=False)
    assert "goes on" in kit.ask().detail and kit.custody.chain.counts["chains"] == 2
    kit.store.close()
    assert ledger(kit.path).balanced
    far.store.close()
