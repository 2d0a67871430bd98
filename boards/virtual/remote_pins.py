"""Pins whose other end is the bus bridge, shaped like machine.Pin and machine.PWM."""


class Crossing:
    """Two bridges of one node: the usual one, and one for what may interrupt a request on it half way.

    What runs by `call` sets and reads every pin of this crossing over the urgent one.
    """

    def __init__(self, usual, urgent):
        self._usual = self.bridge = usual
        self._urgent = urgent

    def call(self, callback, argument) -> None:
        """callback(argument), over the urgent bridge."""
        self.bridge = self._urgent
        try:
            callback(argument)
        finally:
            self.bridge = self._usual


class RemotePin:
    """machine.Pin's `value` at the pin `name` of the bridge."""

    def __init__(self, crossing: Crossing, name: str):
        self._crossing = crossing
        self._name = name

    def value(self, *args: int) -> "int | None":
        """Without an argument: 0 or 1; else drive it. Raises OSError."""
        bridge = self._crossing.bridge
        if not args:
            return bridge.gpio_read(self._name)
        bridge.gpio_write(self._name, args[0])


class RemotePwm:
    """machine.PWM's `duty_u16` at the pin `name` of the bridge."""

    def __init__(self, crossing: Crossing, name: str):
        self._crossing = crossing
        self._name = name

    def duty_u16(self, duty: int) -> None:
        """0 … 65535. Raises OSError."""
        self._crossing.bridge.pwm_write(self._name, duty)
