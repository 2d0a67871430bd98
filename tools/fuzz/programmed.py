"""The generators of inputs that have a head of their own (a byte or two before the rest), and of programs."""

from collections.abc import Mapping, Sequence

from tools.fuzz.mutate import MAX_BYTES, Generator
from tools.fuzz.programs import assemble, steps_of


class Headed(Generator):
    """Changed inputs whose first `size` bytes say how the others are read: those are seldom changed."""

    def __init__(self, seeds: Sequence[bytes], seed: int, size: int):
        super().__init__(seeds, seed)
        self._inner = Generator([one[size:] for one in seeds], seed + 1)
        self._size = size

    def next(self) -> bytes:
        """The next input."""
        return self.changed(self.origin())

    def changed(self, data: bytes) -> bytes:
        """Another content, seldom another head."""
        head = data[: self._size]
        if self.random.random() < 0.1:
            head = self.random.randbytes(self._size)
        return head + self._inner.changed(data[self._size :])


class Programs(Generator):
    """Changed programs: steps left out, repeated, exchanged, borrowed, and their contents changed.

    `contents`: what a new step of each sort may hold.
    """

    def __init__(self, seeds: Sequence[bytes], seed: int, contents: Mapping[int, Sequence[bytes]]):
        super().__init__(seeds, seed)
        self._contents = {what: list(some) for what, some in contents.items()}
        self._sorts = list(self._contents)

    def next(self) -> bytes:
        """The next program."""
        return self.changed(self.origin())

    def changed(self, data: bytes) -> bytes:
        """Another program than this one."""
        random = self.random
        if random.random() < 0.05:
            return random.choice((self.flip, self.truncate, self.splice, self.replace))(data)
        steps = steps_of(data)
        for _ in range(1 + int(random.random() * 3)):
            dice = random.random()
            at = random.randrange(len(steps) + 1)
            if dice < 0.45 and steps:
                at = min(at, len(steps) - 1)
                what, content = steps[at]
                steps[at] = (what, super().changed(content))
            elif dice < 0.8:
                what = random.choice(self._sorts)
                content = random.choice(self._contents[what])
                if random.random() < 0.7:
                    content = super().changed(content)
                steps.insert(at, (what, content))
            elif dice < 0.87 and steps:
                del steps[min(at, len(steps) - 1)]
            elif dice < 0.94 and steps:
                steps.insert(at, random.choice(steps))
            else:
                steps[at:] = steps_of(random.choice(self.seeds))[-random.randrange(1, 6) :]
        return assemble([(what, content[:MAX_BYTES]) for what, content in steps])
