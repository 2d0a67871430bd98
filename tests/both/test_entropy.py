"""The entropy pool: never from one source alone, never the same twice, its seed replaced before use."""

import os
import time

import firmware.entropy as entropy
from firmware.entropy import SEED_BYTES, EntropyPool
from firmware.flash import FlashError


class FixedOs:
    """An os.urandom that has nothing random to give."""

    def urandom(self, n):
        return bytes(n)


class FixedTime:
    """A clock that a test sets."""

    cycles = 0

    def ticks_cpu(self):
        return self.cycles


clock = FixedTime()


def setup_module():
    entropy.os = FixedOs()
    entropy.time = clock


def teardown_module():
    entropy.os = os
    entropy.time = time


class Store:
    """A record store; `broken`: it takes no writes; `log`: what was done to it, in order."""

    def __init__(self, seed=None):
        self.seed = seed
        self.broken = False
        self.damaged = False
        self.log = []

    def read(self, name):
        self.log.append("read")
        if self.damaged:
            raise FlashError(name, "damaged")
        return self.seed

    def write(self, name, payload):
        self.log.append("write")
        if self.broken:
            raise FlashError(name, "5")
        self.seed = payload


def gives(data, strong):
    """A board's entropy."""
    return lambda seeded: (data, strong)


def test_the_seed_is_replaced_before_anything_is_drawn():
    store = Store()
    pool = EntropyPool(store, gives(b"", False))
    assert store.log == ["read", "write"]
    first = store.seed
    assert len(first) == 1 + SEED_BYTES
    drawn = pool.random(32)
    assert drawn != first[1:]
    EntropyPool(store, gives(b"", False))
    assert store.seed != first


def test_two_boots_never_draw_the_same_though_nothing_else_is_random():
    store = Store()
    drawn = [EntropyPool(store, gives(b"", False)).random(32) for _ in range(20)]
    assert len(set(drawn)) == 20


def test_a_copy_of_the_flash_draws_the_same_only_where_nothing_differs():
    """With a dead generator: two copies of one seed. What the board or the clock adds tells them apart."""

    def draws(board, cycles, retained=b""):
        clock.cycles = cycles
        pool = EntropyPool(Store(b"\x01" + bytes(32)), gives(board, False))
        pool.mix(retained)
        first = pool.random(8)
        clock.cycles += cycles
        return first, pool.random(16)

    alone = draws(b"", 1000)
    assert draws(b"", 1000) == alone
    others = [draws(b"another chip", 1000), draws(b"", 1000, b"another boot"), draws(b"", 1001)]
    for i in (0, 1):
        assert len({one[i] for one in others + [alone]}) == 4
    clock.cycles = 0


def test_every_source_changes_what_is_drawn():
    def draw(seed, board):
        return EntropyPool(Store(seed), gives(board, True)).random(32)

    outputs = {
        draw(None, b""),
        draw(b"\x00" + bytes(32), b""),
        draw(None, b"noise"),
        draw(b"\x01" + bytes(32), b""),
    }
    assert len(outputs) == 4


def test_a_pool_does_not_repeat_itself():
    pool = EntropyPool(Store(), gives(b"board", True))
    drawn = [pool.random(n) for n in (1, 16, 32, 33, 64, 100)]
    assert [len(d) for d in drawn] == [1, 16, 32, 33, 64, 100]
    pieces = [pool.random(16) for _ in range(200)]
    assert len(set(pieces)) == 200


def test_strength_is_remembered_with_the_seed():
    store = Store()
    assert not EntropyPool(store, gives(b"", False)).strong
    assert EntropyPool(store, gives(b"from the radio", True)).strong
    assert EntropyPool(store, gives(b"", False)).strong


def test_a_true_source_is_asked_for_once_and_its_first_time_is_told():
    asked = []

    def radio(seeded):
        asked.append(seeded)
        return bytes(8), not seeded

    store = Store()
    assert [EntropyPool(store, radio).first for _ in range(3)] == [True, False, False]
    assert asked == [False, True, True]
    store.broken = True
    store.seed = None
    assert not EntropyPool(store, radio).first


def test_a_seed_that_cannot_be_replaced_counts_for_nothing_and_is_told():
    store = Store(b"\x01" + bytes(32))
    store.broken = True
    pool = EntropyPool(store, gives(b"", False))
    assert not pool.strong and pool.fault.cause == "5"
    assert EntropyPool(store, gives(b"radio", True)).strong


def test_a_damaged_seed_is_told_and_replaced():
    store = Store()
    store.damaged = True
    pool = EntropyPool(store, gives(b"", False))
    assert pool.fault.cause == "damaged" and not pool.strong
    assert len(store.seed) == 33
