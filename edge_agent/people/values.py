"""Values that people type: `systolic_mmhg=131` as the quantity and the integer on the wire."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

from edge_agent.people.state import PeopleError
from protocol.nomenclature import QUANTITIES

TYPED = {quantity.name: quantity for quantity in QUANTITIES if quantity.least is not None}


def typed(texts: Iterable[str]) -> list[tuple[int, int]]:
    """(quantity, value on the wire) of each `name=value`. PeopleError: no such quantity, more decimals than
    it has, or out of its range.
    """
    found: list[tuple[int, int]] = []
    for text in texts:
        name, equals, value = text.partition("=")
        quantity = TYPED.get(name)
        if quantity is None or not equals:
            near = get_close_matches(name, list(TYPED), n=1, cutoff=0.0)[0]
            raise PeopleError(f"{text!r} is no name=value of a quantity", f"did you mean {near}=…?")
        try:
            scaled = Decimal(value).scaleb(-quantity.exponent)
            exact = scaled == scaled.to_integral_value()
        except (InvalidOperation, ValueError, OverflowError):
            raise PeopleError(f"{text!r}: {value!r} is no number", f"as in {name}=72") from None
        assert quantity.least is not None and quantity.most is not None
        if not scaled.is_finite() or not quantity.least <= scaled <= quantity.most:
            low, high = (Decimal(end).scaleb(quantity.exponent) for end in (quantity.least, quantity.most))
            raise PeopleError(f"{text!r} is out of range", f"{low:f} to {high:f} {quantity.unit}".rstrip())
        if not exact:
            places = -quantity.exponent
            raise PeopleError(f"{text!r} has more decimals than are kept", f"{places} at most")
        found.append((quantity.number, int(scaled)))
    return found


def as_typed(fields: dict[str, Any]) -> str:
    """A manual record as it was typed: name=value …, with what, and the remark."""
    known = {quantity.number: quantity for quantity in QUANTITIES}
    told: list[str] = []
    for number, value in fields["values"]:
        quantity = known.get(number)
        name = f"quantity {number}" if quantity is None else quantity.name
        exponent = 0 if quantity is None else quantity.exponent
        told.append(f"{name}={Decimal(value).scaleb(exponent):f}")
    told += [fields["device"]] if fields.get("device") else []
    told += [repr(fields["note"])] if fields.get("note") else []
    return " ".join(told)
