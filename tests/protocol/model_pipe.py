"""One direction of a link that loses, repeats, reorders, splits, merges, changes, cuts off and stalls what it
carries."""

FAULTS = ("lose", "repeat", "swap", "flip", "truncate", "split", "merge", "late")


class Pipe:
    """`dice`: a random.Random. `rates`: fault → probability of it for each chunk."""

    def __init__(self, dice, room):
        self.dice = dice
        self.room = room
        self.rates = {}
        self.stalled = False
        self.recorded = []
        self._chunks = []

    def heal(self):
        """From now on every byte arrives, once and in order."""
        self.rates = {}
        self.stalled = False

    def cut(self):
        """Whatever is on the way is gone."""
        self._chunks = []

    def takes(self):
        """Whether a sender may write now."""
        return sum(map(len, self._chunks)) < self.room

    def write(self, chunk):
        """A chunk as its sender made it: recorded for a replay, and put on the way."""
        self.recorded.append(chunk)
        self.inject(chunk)

    def inject(self, chunk):
        """Put a chunk on the way; it need not be anybody's."""
        happens = {fault for fault, rate in self.rates.items() if self.dice.random() < rate}
        if "lose" in happens:
            return
        if "flip" in happens and chunk:
            at = self.dice.randrange(len(chunk))
            chunk = chunk[:at] + bytes((chunk[at] ^ 1 << self.dice.randrange(8),)) + chunk[at + 1 :]
        if "truncate" in happens:
            chunk = chunk[: self.dice.randrange(len(chunk) + 1)]
        self._chunks.append(chunk)
        if "repeat" in happens:
            self._chunks.append(chunk)
        if "swap" in happens:
            self._chunks.insert(self.dice.randrange(len(self._chunks)), self._chunks.pop())

    def read(self):
        """What arrives now, in the pieces in which it does."""
        if self.stalled:
            return []
        arriving, self._chunks = self._chunks, []
        pieces = []
        for i, chunk in enumerate(arriving):
            roll = self.dice.random
            if roll() < self.rates.get("late", 0):
                self._chunks = arriving[i:]
                break
            if pieces and roll() < self.rates.get("merge", 0):
                pieces[-1] += chunk
            elif roll() < self.rates.get("split", 0):
                at = self.dice.randrange(len(chunk) + 1)
                pieces += [chunk[:at], chunk[at:]]
            else:
                pieces.append(chunk)
        return pieces
