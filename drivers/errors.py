"""What can go wrong between a driver and its chip; the facts are attributes."""


class DriverError(Exception):
    """Base of everything a driver raises. `chip` is the part's name."""

    def __init__(self, chip: str, text: str):
        super().__init__("%s: %s" % (chip, text))
        self.chip = chip


class WrongChip(DriverError):
    """Something answers, but it is another part (or nothing pulls the data line).

    `expected` and `found` are the identity bits, as in the datasheet's identity register.
    """

    def __init__(self, chip: str, expected: int, found: int):
        super().__init__(chip, "identity 0x%x expected, 0x%x found" % (expected, found))
        self.expected = expected
        self.found = found


class BusError(DriverError):
    """A transfer failed, or a register does not hold what was written to it.

    `register` is its address; `why` an errno when the bus raised one, else a short text.
    """

    def __init__(self, chip: str, register: int, why: "int | str"):
        super().__init__(chip, "register 0x%02x: %s" % (register, why))
        self.register = register
        self.why = why
