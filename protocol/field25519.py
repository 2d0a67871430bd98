"""The field of integers modulo p = 2^255 - 19: the registers that limbs.py works on, and powers.

What is calculated is data: programs for `calculate`, the same whatever the secret. Registers 0 to 3 are its
own work, and the first word of 3 is the flag by which it swaps. All others are free but for those that the
powers use: they take register Z, leave their result in POWER, and use the four after that.

What constant time means here. No branch and no index depends on a secret, in the ladder, in fixed-base
multiplication and in signing, and numbers have as many limbs whatever they are: a multiplication is the same
instructions. What is left are the big integers of what is done once: scalars modulo the group's order, where
an ordinary division is the last reduction.
"""

from array import array

from protocol import on_demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

P = (1 << 255) - 19
LIMBS = 20
FLAG = 60
Z = 9
POWER = 11


def limb_code() -> "tuple[Any, ...]":
    """limb_run, limb_choose, limb_load, limb_store and sha512_block: of limbs_fast, or else of limbs."""
    try:
        if "limbs_fast" in on_demand.refused:
            raise ImportError
        from protocol import limbs_fast

        return (
            limbs_fast.limb_run,
            limbs_fast.limb_choose,
            limbs_fast.limb_load,
            limbs_fast.limb_store,
            limbs_fast.sha512_block,
        )
    except (SyntaxError, ImportError, MemoryError):  # backend_micropython.py says why
        from protocol import limbs

        return limbs.limb_run, limbs.limb_choose, limbs.limb_load, limbs.limb_store, limbs.sha512_block


CODE = limb_code()
"""What it gives on this port."""
calculate = CODE[0]
choose_entry = CODE[1]
load_register = CODE[2]

# Twelve: z^2, 13: z^9, then the x_n of what follows, 14: z^11, with x_n = z^(2^n - 1).
_TO_X50 = (
    b"\x02\x0c\x09\x01"  # z^2
    b"\x02\x0d\x0c\x02\x01\x0d\x0d\x09"  # z^9
    b"\x01\x0e\x0d\x0c"  # z^11
    b"\x02\x0b\x0e\x01\x01\x0d\x0b\x0d"  # x_5
    b"\x02\x0b\x0d\x05\x01\x0d\x0b\x0d"  # x_10
    b"\x02\x0b\x0d\x0a\x01\x0f\x0b\x0d"  # x_20
    b"\x02\x0b\x0f\x14\x01\x0b\x0b\x0f"  # x_40
    b"\x02\x0b\x0b\x0a\x01\x0d\x0b\x0d\x00"  # x_50
)
_TO_X100 = b"\x02\x0b\x0d\x32\x01\x0f\x0b\x0d\x00"
_TO_X200 = b"\x02\x0b\x0f\x64\x01\x0b\x0b\x0f\x00"
# x_250^(2^5) z^11 = z^(2^255 - 21), and x_250^(2^2) z = z^(2^252 - 3)
_TO_INVERSE = b"\x02\x0b\x0b\x32\x01\x0b\x0b\x0d\x02\x0b\x0b\x05\x01\x0b\x0b\x0e\x00"
_TO_ROOT = b"\x02\x0b\x0b\x32\x01\x0b\x0b\x0d\x02\x0b\x0b\x02\x01\x0b\x0b\x09\x00"


def new_registers(n: int) -> "array[int]":
    """Registers 0 to n - 1, all 0, to be handed to give_back() when done with. MemoryError where no single
    piece is left for them.
    """
    kept = on_demand.kept[0]
    if kept is not None:
        on_demand.kept[0] = None
        return kept
    one = array("i", bytes(4 * LIMBS))
    registers = array("i")
    # Bytes of all of them to copy from would be a second piece as large.
    for _ in range(n):
        registers.extend(one)
    return registers


def give_back(registers: "array[int]") -> None:
    """Leave nothing in them; those that are kept for this are there for the next."""
    for i in range(len(registers)):
        registers[i] = 0
    if registers is on_demand.kept[1]:
        on_demand.kept[0] = registers


def register_bytes(registers: "array[int]", register: int) -> bytearray:
    """A register's number, fully reduced, as 32 bytes, little-endian."""
    out = bytearray(32)
    CODE[3](registers, register, out)
    return out


def invert_steps(registers: "array[int]") -> "Generator[None, None, None]":
    """1/z; 0 for 0. By z^(p-2), in slices."""
    return _power_steps(registers, _TO_INVERSE)


def root_power_steps(registers: "array[int]") -> "Generator[None, None, None]":
    """z^((p-5)/8): the power that square roots are made of (RFC 8032 §5.1.3). In slices."""
    return _power_steps(registers, _TO_ROOT)


def _power_steps(registers: "array[int]", last: bytes) -> "Generator[None, None, None]":
    for program in (_TO_X50, _TO_X100, _TO_X200, last):
        calculate(registers, program)
        yield
