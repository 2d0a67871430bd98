"""What the collector states that it holds of an agent's chains, when the agent asks."""

from protocol import receipts
from tests.tools.collector_rig import Chain, frame


def test_the_head_statement_names_the_newest_batch_of_the_newest_chain(rig):
    assert rig.ask().chain_id is None
    first = Chain()
    rig.receipt(first.make([frame(0)]))
    late = first.make([frame(1)])
    assert (rig.ask().chain_id, rig.ask().number) == (first.chain, 0)
    second = Chain(chain=b"chain--2")
    rig.receipt(second.make([frame(2)], cited=(first.chain, 1, first.previous), reason="store restored"))
    rig.receipt(late)
    head = rig.ask(b"nonce--2")
    assert head.statement == receipts.HEAD
    assert (head.chain_id, head.number, head.head_hash) == (second.chain, 0, second.previous)
    assert (head.stored, head.duplicates, head.nonce) == (3, 0, b"nonce--2")
    assert head.highest == [(second.chain, 0, second.previous)], "no other chain follows it"


def test_the_head_statement_names_the_last_batch_before_a_hole(rig):
    chain = Chain()
    messages = [(chain.make([frame(n)]), chain.previous) for n in range(5)]
    for n in (0, 1, 3, 4):
        rig.receipt(messages[n][0])
    assert (rig.ask().number, rig.ask().head_hash) == (1, messages[1][1])
    assert rig.ask().highest == [(chain.chain, 4, messages[4][1])], "and the highest, behind it"
    rig.receipt(messages[2][0])
    assert (rig.ask().number, rig.ask().head_hash) == (4, messages[4][1])
    assert rig.ask().highest == [(chain.chain, 4, messages[4][1])]


def test_the_head_statement_names_nothing_when_the_first_is_missing(rig):
    chain = Chain()
    first = chain.make([frame(0)])
    rig.receipt(chain.make([frame(1)]))
    assert rig.ask().chain_id is None and rig.ask().highest == [(chain.chain, 1, chain.previous)]
    rig.receipt(first)
    assert rig.ask().number == 1


def test_the_head_statement_names_the_highest_of_every_chain_that_none_follows(rig):
    assert rig.ask().highest == []
    made = []
    for n in range(receipts.MAX_CHAINS + 3):
        chain = Chain(chain=b"chain-%02d" % n)
        first = chain.make([frame(2 * n)])
        rig.receipt(chain.make([frame(2 * n + 1)]))
        made.append((chain.chain, 1, chain.previous))
        if n % 2:
            rig.receipt(first)
    assert rig.ask().highest == made[: -receipts.MAX_CHAINS - 1 : -1]
    follower = Chain(chain=b"followup")
    rig.receipt(follower.make([frame(99)], cited=made[-1], reason="restored"))
    assert rig.ask().highest[:2] == [(b"followup", 0, follower.previous), made[-2]]
