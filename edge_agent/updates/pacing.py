"""How fast an update may go: a share of what a link carries, as a token bucket."""

# The longest message that an agent sends; so much has to be saved up before one goes.
MESSAGE = 200
# Two of them: what a pause has saved is no reason for a burst.
DEPTH = 2 * MESSAGE


class Bucket:
    """Lets through `bytes_s` bytes a second on average, and never more than DEPTH beyond it. Times are
    milliseconds of a monotonic clock.
    """

    def __init__(self, bytes_s: float, now_ms: int) -> None:
        self.bytes_s = bytes_s
        self._saved = float(MESSAGE)
        self._at_ms = now_ms

    def ready_in_ms(self, now_ms: int) -> int:
        """How long until a message may go; 0: now."""
        self._fill(now_ms)
        missing = MESSAGE - self._saved
        return 0 if missing <= 0 else int(missing * 1000 / self.bytes_s) + 1

    def took(self, size: int) -> None:
        """So many bytes went."""
        self._saved -= size

    def _fill(self, now_ms: int) -> None:
        passed_ms = max(0, now_ms - self._at_ms)
        self._at_ms = now_ms
        self._saved = min(DEPTH, self._saved + self.bytes_s * passed_ms / 1000)


class Meter:
    """What went over a link, against what it carries, while an update was being sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self.capacity_bytes = 0.0

    def passed(self, bytes_s: float, ms: int) -> None:
        """The link could have carried so much meanwhile."""
        self.capacity_bytes += bytes_s * ms / 1000

    @property
    def share(self) -> float | None:
        """Bytes of the update / bytes that the link could have carried; None before the first."""
        return self.bytes / self.capacity_bytes if self.capacity_bytes else None
