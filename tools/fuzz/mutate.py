"""The generator: sound inputs, changed in one to four places. Everything follows from the seed."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from protocol import cbor
from protocol.errors import ProtocolError

BOUNDARIES = tuple(
    sorted(
        {
            sign * (1 << power) + near
            for power in (0, 3, 5, 7, 8, 10, 14, 15, 16, 23, 24, 30, 31, 32, 33, 48, 52, 53, 62, 63)
            for near in (-2, -1, 0, 1)
            for sign in (1, -1)
            if -(1 << 63) <= sign * (1 << power) + near < 1 << 63
        }
    )
)
LENGTHS = (0, 1, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 31, 32, 33, 63, 64, 65, 128, 129, 255, 256, 257)
DECLARED = (0xFF, 0x100, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)
TEXTS = (
    "",
    "x",
    "hello",
    "ü",
    "\x00",
    "é" * 40,
    "x" * 65,
    "\U0001f600",
    "head",
    "receipt",
    "order",
    "update",
)
MAX_BYTES = 4200
FROM_LEARNED = 0.2

Mutation = Callable[[bytes], bytes]


class Generator:
    """Changed inputs without end. `seeds`: sound ones; `learn` adds others, most of which are not."""

    def __init__(self, seeds: Sequence[bytes], seed: int):
        if not seeds:
            raise ValueError("no sound input to begin with")
        self.random = Random(seed)
        self.seeds = list(seeds)
        self._learned: list[bytes] = []
        self._bytes: tuple[Mutation, ...] = (
            self.flip,
            self.flip,
            self.replace,
            self.insert,
            self.delete,
            self.repeat,
            self.truncate,
            self.splice,
            self.lie,
            self.declare,
            self.nest,
            self.twice,
            self.boundary,
        )

    def learn(self, data: bytes) -> None:
        """Begin from this one, too: something new came of it."""
        self._learned.append(data)

    def next(self) -> bytes:
        """The next input."""
        return self.changed(self.origin())

    def origin(self) -> bytes:
        """What the next input begins from."""
        learned = self._learned and self.random.random() < FROM_LEARNED
        return self.random.choice(self._learned if learned else self.seeds)

    def changed(self, data: bytes) -> bytes:
        """A value changed inside sound CBOR, or bytes changed wherever they are, or both."""
        random = self.random
        dice = random.random()
        if dice < 0.5:
            data = self.tree(data)
            if dice < 0.35:
                return data[:MAX_BYTES]
        for _ in range(1 + int(random.random() * random.random() * 4)):
            data = random.choice(self._bytes)(data)
        return data[:MAX_BYTES]

    # Bytes, whatever they mean

    def _at(self, data: bytes) -> int:
        return int(self.random.random() * len(data))

    def flip(self, data: bytes) -> bytes:
        """One bit."""
        if not data:
            return data
        at = self._at(data)
        return data[:at] + bytes((data[at] ^ 1 << self.random.getrandbits(3),)) + data[at + 1 :]

    def replace(self, data: bytes) -> bytes:
        """One byte, by an interesting one or any."""
        if not data:
            return data
        at = self._at(data)
        value = self.random.choice((0, 1, 0x17, 0x18, 0x1B, 0x5F, 0x7F, 0x80, 0x9F, 0xBF, 0xF6, 0xFF))
        if self.random.random() < 0.5:
            value = self.random.getrandbits(8)
        return data[:at] + bytes((value,)) + data[at + 1 :]

    def insert(self, data: bytes) -> bytes:
        """One to eight bytes more."""
        at = self._at(data)
        return data[:at] + self.random.randbytes(1 + self.random.getrandbits(3)) + data[at:]

    def delete(self, data: bytes) -> bytes:
        """One to eight bytes less."""
        at = self._at(data)
        return data[:at] + data[at + 1 + self.random.getrandbits(3) :]

    def repeat(self, data: bytes) -> bytes:
        """A piece again, up to some hundred times."""
        at = self._at(data)
        piece = data[at : at + 1 + self.random.getrandbits(5)]
        times = 1 if self.random.random() < 0.8 else 1 + self.random.getrandbits(8)
        return data[:at] + piece * times + data[at:]

    def truncate(self, data: bytes) -> bytes:
        """The beginning only."""
        return data[: self._at(data)]

    def splice(self, data: bytes) -> bytes:
        """The beginning of one, the end of another."""
        other = self.random.choice(self.seeds)
        return data[: self._at(data)] + other[self._at(other) :]

    def lie(self, data: bytes) -> bytes:
        """Two or four bytes as an integer, a little more or less, or at a boundary."""
        width = self.random.choice((1, 2, 4))
        if len(data) < width:
            return data
        at = int(self.random.random() * (len(data) - width + 1))
        value = int.from_bytes(data[at : at + width], "big")
        if self.random.random() < 0.5:
            value += self.random.randint(-3, 3)
        else:
            value = self.random.choice(BOUNDARIES)
        value &= (1 << 8 * width) - 1
        return data[:at] + value.to_bytes(width, "big") + data[at + width :]

    def declare(self, data: bytes) -> bytes:
        """A head that declares far more than there is."""
        at = self._at(data)
        major = self.random.choice((2, 3, 4, 5))
        n = self.random.choice(DECLARED)
        width = 1 if n < 0x100 else 2 if n < 0x10000 else 4 if n < 1 << 32 else 8
        head = bytes((major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width],)) + n.to_bytes(width, "big")
        return data[:at] + head + data[at + self.random.getrandbits(2) :]

    def nest(self, data: bytes) -> bytes:
        """Arrays or maps within each other, a few or very many."""
        at = self._at(data)
        depth = self.random.choice((1, 2, 7, 8, 9, 10, 64, 1000))
        return (
            data[:at] + self.random.choice((b"\x81", b"\xa1\x00", b"\x82\x00", b"\xd2")) * depth + data[at:]
        )

    def twice(self, data: bytes) -> bytes:
        """The whole of it again."""
        return data + data

    def boundary(self, data: bytes) -> bytes:
        """An encoded integer at a boundary in the place of something."""
        at = self._at(data)
        return data[:at] + cbor.dumps(self.random.choice(BOUNDARIES)) + data[at + 1 :]

    # Values inside sound CBOR

    def tree(self, data: bytes) -> bytes:
        """The same item with one to three of its values changed; bytes changed where it is no CBOR."""
        tag = 18 if data[:1] == b"\xd2" else None
        try:
            value = cbor.loads(data, tag)
        except ProtocolError:
            return self.random.choice(self._bytes)(data)
        for _ in range(1 + int(self.random.random() * 3)):
            value = self._changed(value)
        try:
            return (b"\xd2" if tag else b"") + cbor.dumps(value)
        except ProtocolError:
            return self.random.choice(self._bytes)(data)

    def _changed(self, value: Any) -> Any:
        """`value` with something in it changed; deep things as likely as it itself."""
        random = self.random
        if isinstance(value, list) and value and random.random() < 0.85:
            return self._array(value)
        if isinstance(value, dict) and value and random.random() < 0.85:
            return self._map(value)
        if isinstance(value, bytes):
            return self._string(value)
        if isinstance(value, int) and not isinstance(value, bool) and random.random() < 0.7:
            near = value + random.choice((-1, 1, 2, 256, -value, 1 << 32, 1 << 53))
            near = near if random.random() < 0.5 else random.choice(BOUNDARIES)
            return max(-(1 << 63), min(near, (1 << 63) - 1))
        return self.leaf()

    def _array(self, value: "list[Any]") -> "list[Any]":
        random = self.random
        items = list(value)
        at = random.randrange(len(items))
        dice = random.random()
        if dice < 0.6:
            items[at] = self._changed(items[at])
        elif dice < 0.7:
            del items[at]
        elif dice < 0.8:
            items.insert(at, self.leaf())
        elif dice < 0.87:
            items.insert(at, items[random.randrange(len(items))])
        elif dice < 0.94:
            other = random.randrange(len(items))
            items[at], items[other] = items[other], items[at]
        else:
            items = (items * (1 + random.getrandbits(6)))[:400]
        return items

    def _map(self, value: "dict[Any, Any]") -> "dict[Any, Any]":
        random = self.random
        entries = dict(value)
        key = random.choice(list(entries))
        dice = random.random()
        if dice < 0.65:
            entries[key] = self._changed(entries[key])
        elif dice < 0.78:
            del entries[key]
        elif dice < 0.9:
            entries[random.choice((random.randrange(20), random.choice(BOUNDARIES), "k", b"k"))] = self.leaf()
        else:
            entries[key] = entries[random.choice(list(entries))]
        return entries

    def _string(self, value: bytes) -> Any:
        """Bytes: often CBOR themselves, or one of the lengths that something must have."""
        random = self.random
        dice = random.random()
        if dice < 0.4 and value[:1] and value[0] >= 0x80:
            return self.tree(value)
        if dice < 0.7:
            return random.choice(self._bytes[:8])(value)
        if dice < 0.9:
            return random.randbytes(random.choice(LENGTHS))
        return self.leaf()

    def leaf(self) -> Any:
        """A value of any type, at a boundary of it."""
        random = self.random
        dice = random.randrange(10)
        if dice < 4:
            return random.choice(BOUNDARIES)
        if dice < 6:
            return random.randbytes(random.choice(LENGTHS))
        if dice < 7:
            return random.choice(TEXTS)
        if dice < 8:
            return random.choice((None, True, False))
        if dice < 9:
            return [self.leaf() for _ in range(random.randrange(4))]
        return {random.randrange(20): self.leaf() for _ in range(random.randrange(3))}
