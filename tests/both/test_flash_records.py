"""Records that a power cut leaves whole; what the node keeps in them: identity, agents, the boot record."""

import firmware.flash as flash
from firmware.boots import (
    BOOT_RECORDS,
    CLEAR_SOON,
    MAX_SAID,
    MAX_U32,
    RESERVE_BOUND_S,
    RESERVE_EVERY_S,
    RETAINED_BOUND_S,
    BootRecord,
    CommitError,
    read_retained,
    together,
)
from firmware.flash import FlashError, Records
from firmware.keys import MAX_AGENTS, KeyStore
from protocol import cbor, crypto, frame_schema, frames

ENOENT = 2
EIO = 5


class PowerCut(Exception):
    pass


class Medium:
    """A flash file system with its power switch: `steps` more operations, then a cut in the middle of the
    next.
    """

    def __init__(self):
        self.files = {}
        self.steps = None
        self.broken = False

    def operation(self):
        if self.broken:
            raise OSError(EIO, "worn")
        if self.steps is not None:
            if self.steps == 0:
                raise PowerCut()
            self.steps -= 1

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(ENOENT, "none")
            return Reader(self.files[path])
        self.operation()
        self.files[path] = b""
        return Writer(self, path)

    def rename(self, old, new):
        self.operation()
        if old not in self.files:
            raise OSError(ENOENT, "none")
        self.files[new] = self.files.pop(old)

    def sync(self):
        self.operation()


class Reader:
    def __init__(self, data):
        self.data = data

    def read(self, n):
        return self.data[:n]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Writer:
    """Bytes reach the medium half by half, so that a cut leaves torn writes."""

    def __init__(self, medium, path):
        self.medium = medium
        self.path = path

    def write(self, data):
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.medium.operation()
            self.medium.files[self.path] += bytes(part)

    def flush(self):
        self.medium.operation()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Os:
    def __init__(self, medium):
        self.rename = medium.rename
        self.sync = medium.sync


def on(medium):
    """The records on a medium: the node's file operations go there."""
    flash.os = Os(medium)
    flash.open = medium.open
    return Records("state")


class Board:
    """A board's retained memory; None: it has none."""

    def __init__(self, memory=None):
        self.memory = memory

    def retained_read(self):
        return self.memory

    def retained_write(self, data):
        self.memory = bytes(data)


def raises(kind, action):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError("nothing raised")


def test_a_record_reads_back():
    records = on(Medium())
    assert records.read("a") is None
    for payload in (b"", b"x", bytes(range(256)) * 8):
        records.write("a", payload)
        assert records.read("a") == payload
    assert raises(FlashError, lambda: records.write("a", bytes(2049))).cause == "too_long"


def test_a_power_cut_between_any_two_steps_leaves_the_old_or_the_new():
    steps = 0
    seen = set()
    while True:
        medium = Medium()
        records = on(medium)
        records.write("a", b"the old one")
        medium.steps = steps
        try:
            records.write("a", b"and the new one")
            finished = True
        except PowerCut:
            finished = False
        medium.steps = None
        after = records.read("a")
        assert after in (b"the old one", b"and the new one")
        seen.add(after)
        records.write("a", b"afterwards")
        assert records.read("a") == b"afterwards"
        if finished:
            assert after == b"and the new one"
            break
        steps += 1
    assert steps > 8 and len(seen) == 2


def test_damage_at_any_byte_is_found():
    medium = Medium()
    records = on(medium)
    records.write("a", b"payload")
    whole = medium.files["state/a"]
    for i in range(len(whole)):
        medium.files["state/a"] = whole[:i] + bytes((whole[i] ^ 4,)) + whole[i + 1 :]
        assert raises(FlashError, lambda: records.read("a")).cause == "damaged"
        medium.files["state/a"] = whole[:i]
        assert raises(FlashError, lambda: records.read("a")).cause == "damaged"


def random(n):
    return bytes(range(n))


def test_an_identity_is_made_once():
    records = on(Medium())
    made = crypto.run(KeyStore(records).identity_steps(random))
    again = crypto.run(KeyStore(records).identity_steps(lambda n: b"\xff" * n))
    assert again.id == made.id and again.ed_seed == made.ed_seed and again.x_sk == made.x_sk


def test_an_identity_that_cannot_be_kept_is_not_used():
    medium = Medium()
    store = KeyStore(on(medium))
    medium.broken = True
    raises(FlashError, lambda: crypto.run(store.identity_steps(random)))


def test_a_damaged_record_is_set_aside_and_told():
    medium = Medium()
    records = on(medium)
    store = KeyStore(records)
    assert store.add_agent(b"e" * 32, b"x" * 32)
    damaged = medium.files["state/agents"][:-1]
    medium.files["state/agents"] = damaged
    assert store.agents() == []
    assert store.faults == ["agents: damaged"]
    assert medium.files["state/agents.bad"] == damaged


def test_agents_are_few_and_counted_once():
    store = KeyStore(on(Medium()))
    assert store.agents() == []
    for n in range(MAX_AGENTS):
        keys = bytes((n,)) * 32
        assert store.add_agent(keys, keys)
        assert store.add_agent(keys, keys)
    assert not store.add_agent(b"z" * 32, b"z" * 32)
    assert [ed[0] for ed, _ in store.agents()] == list(range(MAX_AGENTS))


def boot(records, board):
    record = BootRecord(records, board)
    record.commit(b"12345678")
    return record


def test_counters_grow_and_the_first_boot_has_nothing_to_state():
    records = on(Medium())
    first = boot(records, Board())
    assert first.statement is None and first.boot_id == b"\0\0\0\x0112345678"
    second = boot(records, Board())
    assert second.boot_id[:4] == b"\0\0\0\x02"
    assert second.statement == [first.boot_id, 0, False, RESERVE_BOUND_S]


def test_a_counter_survives_a_cut_at_any_step_without_being_used_twice():
    steps = 0
    while True:
        medium = Medium()
        records = on(medium)
        used = [int.from_bytes(boot(records, Board()).boot_id[:4], "big")]
        medium.steps = steps
        record = BootRecord(records, Board())
        try:
            record.commit(b"abcdefgh")
            used.append(int.from_bytes(record.boot_id[:4], "big"))
        except PowerCut:
            assert record.boot_id == b""
        finished = medium.steps > 0
        medium.steps = None
        used.append(int.from_bytes(boot(records, Board()).boot_id[:4], "big"))
        assert sorted(set(used)) == used
        if finished:
            return
        steps += 1


def test_a_commit_that_fails_leaves_no_boot_id_and_may_be_tried_again():
    medium = Medium()
    record = BootRecord(on(medium), Board())
    medium.broken = True
    raises(CommitError, lambda: record.commit(b"12345678"))
    assert record.boot_id == b""
    medium.broken = False
    record.commit(b"12345678")
    assert record.boot_id[:4] == b"\0\0\0\x01"


def test_a_medium_that_takes_writes_and_keeps_nothing_is_no_commit():
    medium = Medium()
    record = BootRecord(on(medium), Board())
    medium.rename = lambda old, new: None
    flash.os.rename = medium.rename
    assert "reads back" in raises(CommitError, lambda: record.commit(b"12345678")).cause


def test_reservations_come_at_a_bounded_rate():
    medium = Medium()
    records = on(medium)
    record = boot(records, Board())
    for second in range(RESERVE_EVERY_S + 1):
        record.reserve(3 * second, second, False)
    statement = BootRecord(records, Board()).statement
    assert statement == [record.boot_id, 3 * RESERVE_EVERY_S, False, RESERVE_BOUND_S]
    before = dict(medium.files)
    record.reserve(3 * RESERVE_EVERY_S, 10 * RESERVE_EVERY_S, False)
    assert medium.files == before, "nothing new, nothing written"


def test_an_orderly_end_is_stated_as_such():
    records = on(Medium())
    record = boot(records, Board())
    record.close(77, False)
    assert BootRecord(records, Board()).statement == [record.boot_id, 77, True, 0]


def test_memory_that_survived_knows_more_than_flash():
    records = on(Medium())
    board = Board(b"")
    record = boot(records, board)
    record.retain(41)
    record.retain(42)
    statement = BootRecord(records, board).statement
    assert statement == [record.boot_id, 42, False, RETAINED_BOUND_S]
    assert BootRecord(records, Board(b"")).statement[3] == RESERVE_BOUND_S, "power was off: flash alone"


def test_an_orderly_end_outweighs_memory():
    records = on(Medium())
    board = Board(b"")
    record = boot(records, board)
    record.retain(42)
    record.close(42, False)
    assert BootRecord(records, board).statement == [record.boot_id, 42, True, 0]


def test_memory_of_an_older_boot_is_not_believed():
    records = on(Medium())
    board = Board(b"")
    first = boot(records, board)
    first.retain(500)
    old = board.memory
    second = boot(records, Board())
    second.reserve(9, RESERVE_EVERY_S, False)
    assert BootRecord(records, Board(old)).statement == [second.boot_id, 9, False, RESERVE_BOUND_S]


def test_memory_counts_on_where_the_record_is_damaged():
    medium = Medium()
    records = on(medium)
    board = Board(b"")
    record = boot(records, board)
    record.retain(5)
    medium.files["state/boot-a"] = medium.files["state/boot-b"] = b"rubbish"
    after = BootRecord(records, board)
    assert "damaged" in after.fault
    assert after.statement == [record.boot_id, 5, False, RETAINED_BOUND_S]
    after.commit(b"12345678")
    assert after.boot_id[:4] == b"\0\0\0\x02"
    assert medium.files["state/boot-a.bad"] == medium.files["state/boot-b.bad"] == b"rubbish"


def test_damage_to_one_place_never_takes_the_counter_back():
    for place in BOOT_RECORDS:
        for reservations in range(4):
            medium = Medium()
            records = on(medium)
            boot(records, Board())
            record = boot(records, Board())
            for n in range(reservations):
                record.reserve(10 * (n + 1), (n + 1) * RESERVE_EVERY_S, False)
            medium.files["state/" + place] = b"rubbish"
            after = BootRecord(records, Board())
            boot_id, known_next, clean, bound_s = after.statement
            assert boot_id == record.boot_id and not clean
            assert 10 * (reservations - 1) <= known_next <= 10 * reservations
            assert bound_s == 2 * RESERVE_BOUND_S
            after.commit(b"12345678")
            assert after.boot_id[:4] == b"\0\0\0\x03"
            assert BootRecord(records, Board()).fault is None


def test_garbage_in_memory_is_nothing():
    assert read_retained(None) is None
    assert read_retained(b"") is None
    assert read_retained(bytes(20)) is None
    board = Board(b"")
    record = boot(on(Medium()), board)
    record.retain(3)
    good = board.memory
    assert read_retained(good) == (record.boot_id, 3)
    for i in range(len(good)):
        assert read_retained(good[:i]) is None
        assert read_retained(good[:i] + bytes((good[i] ^ 1,)) + good[i + 1 :]) is None


# What is said of boots whose successors died, too


def body_of(record):
    """The statements that the boot frame of `record` carries."""
    body = {}
    if record.statement is not None:
        body[frames.BOOT_PREVIOUS] = record.statement
    if record.earlier() is not None:
        body[frames.BOOT_EARLIER] = record.earlier()
    return body


def counters(body):
    """The counters of the boots that `body` speaks of, each as often as it does."""
    said = list(body.get(frames.BOOT_EARLIER, []))
    if frames.BOOT_PREVIOUS in body:
        said.append(body[frames.BOOT_PREVIOUS])
    out = []
    for item in said:
        if isinstance(item[0], int):
            out += range(item[0], item[1] + 1)
        else:
            out.append(int.from_bytes(item[0][:4], "big"))
    return out


def test_every_boot_states_all_that_no_agent_has_acknowledged():
    records = on(Medium())
    said = []
    for n in range(MAX_SAID):
        board = Board(b"")
        record = boot(records, board)
        assert (record.earlier() or []) == said[:-1]
        assert record.statement == (said[-1] if said else None)
        record.retain(10 * n)
        # Power goes off: flash alone is left.
        said.append([record.boot_id, 0, False, RESERVE_BOUND_S])


def test_what_was_acknowledged_is_not_said_again_once_flash_knows():
    records = on(Medium())
    for _ in range(2):
        boot(records, Board())
    third = boot(records, Board())
    third.reserve(40, RESERVE_EVERY_S, True)
    fourth = boot(records, Board())
    assert fourth.statement == [third.boot_id, 40, False, RESERVE_BOUND_S] and fourth.earlier() is None
    fourth.close(5, False)
    fifth = boot(records, Board())
    assert fifth.earlier() == [fourth.statement] and fifth.statement == [fourth.boot_id, 5, True, 0]
    fifth.close(6, True)
    assert boot(records, Board()).earlier() is None


def writes(medium, action):
    """How many records `action` writes."""
    counted = []
    rename = medium.rename
    flash.os.rename = lambda old, new: (counted.append(new), rename(old, new))
    action()
    flash.os.rename = rename
    return len(counted)


def test_statements_cost_no_write_but_one_when_many_have_arrived():
    medium = Medium()
    records = on(medium)
    for n in range(CLEAR_SOON):
        assert writes(medium, lambda: boot(records, Board())) == len(BOOT_RECORDS)
        record = BootRecord(records, Board())
        assert len(record.earlier() or []) == n
    record = boot(records, Board())

    def seconds(delivered):
        for second in range(1, RESERVE_EVERY_S):
            record.reserve(second, second, delivered)

    assert writes(medium, lambda: seconds(False)) == 0
    assert writes(medium, lambda: seconds(True)) == 1
    after = boot(records, Board())
    assert after.earlier() is None and after.statement[:2] == [record.boot_id, 1]


def test_more_than_a_boot_frame_takes_are_put_together_and_every_boot_is_in_it_once():
    records = on(Medium())
    many = 3 * MAX_SAID
    for n in range(many):
        record = boot(records, Board())
        body = body_of(record)
        assert counters(body) == list(range(1, n + 1))
        assert len(cbor.dumps(body)) < 500
        if frames.BOOT_EARLIER in body:
            assert frame_schema._fits(body[frames.BOOT_EARLIER], "earlier", 1, frame_schema.MAX_EARLIER)
        record.reserve(7, RESERVE_EVERY_S, False)
    first, last, known, bound_s = BootRecord(records, Board()).earlier()[0]
    assert (first, last) == (1, many - MAX_SAID + 1)
    assert (known, bound_s) == (7 * last, RESERVE_BOUND_S * last)


def test_what_is_put_together_never_claims_less_than_its_parts():
    def said(counter, known_next, clean, bound_s):
        return [counter.to_bytes(4, "big") + bytes(8), known_next, clean, bound_s]

    assert together(said(4, 10, True, 0), said(5, 3, False, 35)) == [4, 5, 13, 35]
    assert together([1, 3, 9, 2], said(4, 1, False, 1)) == [1, 4, 10, 3]
    assert together([1, 3, 9, 2], said(6, 1, False, 1)) == [1, 6, 10, MAX_U32], "4 and 5 are unheard of"
    full = together([1, 3, MAX_U32, MAX_U32], said(4, 9, False, 9))
    assert full == [1, 4, MAX_U32, MAX_U32]


def test_a_cut_at_any_write_neither_loses_nor_doubles_a_statement():
    """Boots, each cut at some write or none; with and without an agent's acknowledgement."""
    for acknowledged in (False, True):
        cut = 0
        while True:
            medium = Medium()
            records = on(medium)
            heard = {}
            used = set()
            for _ in range(5):
                record = boot(records, Board())
                used.add(record.boot_id[:4])
            five = [[item[0][:4], item[1:]] for item in told(BootRecord(records, Board()))]
            # From here on: a sixth boot that is cut at step `cut` of its life.
            medium.steps = cut
            record = BootRecord(records, Board())
            try:
                record.commit(b"abcdefgh")
                used.add(record.boot_id[:4])
                if acknowledged:
                    heard = {item[0]: item for item in told(record)}
                record.reserve(3, 1, acknowledged)
                record.reserve(90, RESERVE_EVERY_S + 1, acknowledged)
                record.close(99, acknowledged)
            except PowerCut:
                pass
            finished = medium.steps > 0
            medium.steps = None
            after = boot(records, Board())
            said = counters(body_of(after))
            assert len(said) == len(set(said)), "a boot stated twice in one frame"
            assert after.boot_id[:4] not in used
            for item in told(after):
                assert heard.get(item[0], item) == item, "said otherwise than before"
                heard[item[0]] = item
            mine = int.from_bytes(after.boot_id[:4], "big")
            assert sorted([int.from_bytes(one[:4], "big") for one in heard]) == list(range(1, mine)), cut
            kept = [[item[0][:4], item[1:]] for item in heard.values() if item[0][:4] in used]
            assert all(one in kept for one in five)
            if finished:
                break
            cut += 1
        assert cut > 30


def told(record):
    """Everything that `record` states."""
    return (record.earlier() or []) + ([record.statement] if record.statement else [])


def test_a_lost_record_of_the_newest_boot_still_says_what_came_before():
    """Flash forgot a commit that memory remembers."""
    medium = Medium()
    records = on(medium)
    board = Board(b"")
    boot(records, board)
    second = boot(records, board)
    older = dict(medium.files)
    third = boot(records, board)
    third.retain(8)
    medium.files.clear()
    medium.files.update(older)
    after = BootRecord(records, board)
    assert after.statement == [third.boot_id, 8, False, RETAINED_BOUND_S]
    assert counters(body_of(after)) == [1, 2, 3]
    assert after.earlier()[-1] == [second.boot_id, 0, False, RESERVE_BOUND_S]


def test_a_record_without_statements_is_understood():
    records = on(Medium())
    old = (7).to_bytes(4, "big") + bytes(8)
    records.write("boot-a", cbor.dumps([old, 5, True, 0]))
    after = BootRecord(records, Board())
    assert after.statement == [old, 5, True, 0] and after.earlier() is None and after.fault is None
