"""The rig's pins: they keep what they were set to, whatever becomes of the VM that set them.

An ESP32's GPIO and PWM go on as they were when the interpreter ends, hangs or restarts by itself (a soft
reset). A reset of the chip makes inputs of them, which the pull-down resistors of a cuff's drivers bring to
0.
"""

from collections.abc import Callable


class Pins(dict[str, int]):
    """Name → 0 or 1, or the duty (0 … 65535) of a PWM. An unknown pin reads 0.

    `watch(name, value)`, when set, is called before a pin takes a value, also the one that it has.
    """

    def __init__(self, **pins: int) -> None:
        super().__init__(pins)
        self.watch: Callable[[str, int], None] | None = None
        self._driven: set[str] = set()

    def __missing__(self, name: str) -> int:
        return 0

    def __setitem__(self, name: str, value: int) -> None:
        if self.watch is not None:
            self.watch(name, value)
        super().__setitem__(name, value)

    def drive(self, name: str, value: int) -> None:
        """The node sets an output of its own."""
        self._driven.add(name)
        self[name] = value

    def fall(self) -> None:
        """The node's chip is reset, or has lost its power: what it drove goes to 0."""
        for name in sorted(self._driven):
            self[name] = 0
        self._driven.clear()
