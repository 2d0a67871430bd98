"""Consent on the way to a collector: what nobody allowed does not leave, what was allowed later does."""

from edge_agent.people.operators import Operators
from protocol import frames
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Broker, Collecting, Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written


class OnABody(FakeNode):
    """A node whose sensors are on somebody: no input in their place, and no source in a frame."""

    def make(self, kind: int, body: dict, keep: bool = False) -> int:
        other = (frames.BOOT_INPUT,) if kind == frames.KIND_BOOT else (frames.SOURCE, frames.SOURCE_PPG)
        if kind in (frames.KIND_BOOT, frames.KIND_VITALS):
            body = {key: value for key, value in body.items() if key not in other}
        return super().make(kind, body, keep)


def test_a_withdrawal_stops_one_persons_data_at_once_and_a_grant_lets_what_waited_go(tmp_path) -> None:
    kit = Kit(tmp_path)
    broker = Broker(tmp_path)
    far = kit.collect(broker.port)
    Operators(tmp_path / "operators").new("home")
    hers, models = OnABody(Pty(), agent=kit.identity), FakeNode(Pty(), seed=11, agent=kit.identity)

    def there(node) -> set[int]:
        known = list(far.frames)
        return {seq for who, boot, seq in known if who == node.identity.id and boot == node.boot.boot_id}

    with broker, Collecting(far, broker.port), hers, models:
        kit.pair(hers, models)
        config = written(kit, hers.pipe.name, models.pipe.name)

        def desk(*words) -> str:
            done = typed(*words, "--config", config)
            assert done.exit_code == 0, done.output
            return done.output

        def a_while() -> None:
            """Until more of the other node's than fit into some batches has come."""
            models_then, hers_then = len(there(models)), hers.box.next_seq
            wait_until(lambda: len(there(models)) > models_then + 10, "the other node's go on")
            wait_until(lambda: hers.box.next_seq > hers_then + 10 and hers.held < 10, "hers are taken")

        with Running(kit.config(hers.pipe.name, models.pipe.name)):
            wait_until(lambda: len(there(hers)) > 5, "frames of a node that is nobody's")
            person = desk("person", "new").strip()
            # A model's are nobody's, also where its node is somebody's.
            desk("assign", models.identity.id.hex(), person, "--from", "2000-01-01")
            desk("assign", hers.identity.id.hex(), person, "--from", "2000-01-01")
            before = hers.box.next_seq
            a_while()
            assert max(there(hers)) <= before
            wait_until(lambda: kit.status["forward"]["mqtt"]["withheld"] > 10, "the status says it")
            desk("consent", "grant", person, "--forwarder", "mqtt")
            wait_until(lambda: set(range(before + 10)) <= there(hers), "what waited has come")
            desk("consent", "withdraw", person, "--forwarder", "mqtt")
            stopped = hers.box.next_seq
            a_while()
            assert max(there(hers)) <= stopped
    records = [e[0] for batch in far.batches.values() for e in batch.parsed if e and e[0] in (4, 7)]
    assert sorted(records) == [4, 4, 7, 7], "what was assigned and consented to reaches the collector"
    assert kit.ledger.balanced
