"""SFLOAT, the 16-bit decimal numbers of medical devices (ISO/IEEE 11073-20601, annex F.8).

12 bits of mantissa, 4 of exponent, both in two's complement. Their values are kept as integers of a stated
decimal unit: nothing is ever a float.
"""

NAN, NRES, INFINITE, MINUS_INFINITE, RESERVED = 0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801
SPECIAL = {
    NAN: "not a number",
    NRES: "not at this resolution",
    INFINITE: "+ infinity",
    MINUS_INFINITE: "- infinity",
    RESERVED: "reserved",
}


def scaled(raw: int, decimals: int) -> int | None:
    """The value in units of 10^-decimals, halves away from zero; None where it is one of SPECIAL.

    `raw`: the two bytes as an unsigned number.
    """
    mantissa, exponent = raw & 0x0FFF, raw >> 12
    if mantissa in SPECIAL:
        return None
    if mantissa >= 0x800:
        mantissa -= 0x1000
    if exponent >= 8:
        exponent -= 16
    shift = exponent + decimals
    if shift >= 0:
        return mantissa * 10**shift
    step = 10**-shift
    whole = (2 * abs(mantissa) + step) // (2 * step)
    return -whole if mantissa < 0 else whole


def encoded(value: int, decimals: int) -> int:
    """The SFLOAT of `value` in units of 10^-decimals, as exactly as 12 bits allow. ValueError: none does."""
    exponent = -decimals
    while not -0x7FD <= value <= 0x7FD:
        if exponent == 7:
            raise ValueError(f"{value}e{-decimals} is beyond an SFLOAT")
        sign = -1 if value < 0 else 1
        value = sign * ((abs(value) + 5) // 10)
        exponent += 1
    if exponent < -8:
        raise ValueError(f"1e{exponent} is finer than an SFLOAT")
    return (exponent & 0xF) << 12 | (value & 0xFFF)
