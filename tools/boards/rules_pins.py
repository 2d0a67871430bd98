"""Rules about pins: there is one, nobody else has it, it can do what is asked of it, and at a reset it harms
nothing.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.boards.chips import Chip
from tools.boards.fault import Fault
from tools.boards.wires import ANALOG, COLOURS, CUFF_PINS, IN, OPTIONAL, Wire, signals, wires

ACCEPTED = re.compile(r"gpio(\d+): +(\S.*)", re.DOTALL)
ACCEPTED_KEY = "[wiring] accepted"
# Tables whose pin the board's code reads with a pull.
PULLED = ("button", "charger")


def there(settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Fault]:
    """Every pin that a table needs, as a number."""
    led = settings.get("led", {})
    for table, signal, _, _ in signals(settings, parts):
        value = settings[table].get(signal)
        place = f"[{table}] {signal}"
        if value is None:
            if signal in OPTIONAL or table == "led":
                continue
            if table == "cuff" and signal in CUFF_PINS:
                yield Fault(place, "a cuff has six pins of its own, this one among them (docs/cuff.md)")
            else:
                yield Fault(place, "is missing: the number of the GPIO that it is on")
        elif type(value) is not int or value < 0:
            yield Fault(place, f"is {value!r}, and not the number of a GPIO")
    if isinstance(led, Mapping) and "led" in settings:
        yield from _lights(led)


def _lights(led: Mapping[str, Any]) -> Iterator[Fault]:
    """One light or three: what each of their colours means stands in firmware/indications.py."""
    colours = [colour for colour in COLOURS if colour in led]
    if "pin" in led and colours:
        yield Fault(
            "[led]", f"has pin and {colours[0]}: a light of one colour has pin, one of three red, green, blue"
        )
    elif "pin" not in led and len(colours) < len(COLOURS):
        lacking = ", ".join(colour for colour in COLOURS if colour not in led)
        yield Fault("[led]", f"lacks {lacking}: colours are mixed of all three, and one light alone has pin")


def conflicts(settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Fault]:
    """No pin twice, unless as the same wire of the same bus."""
    had: dict[int, Wire] = {}
    for wire in wires(settings, parts):
        other = had.setdefault(wire.pin, wire)
        shared = wire.bus and (wire.bus, wire.signal) == (other.bus, other.signal)
        if other is not wire and not shared:
            yield Fault(
                wire.place, f"GPIO {wire.pin} is {other.place} already: one of the two needs another pin"
            )


def suitable(
    chip: Chip, psram_mib: int, settings: Mapping[str, Any], parts: Mapping[str, str]
) -> Iterator[Fault]:
    """Each pin is one that the chip has, that its memories leave, and that can do what is asked."""
    taken = chip.taken(psram_mib)
    for wire in wires(settings, parts):
        free = _ranges(chip.pins - taken)
        if wire.pin not in chip.pins:
            yield Fault(wire.place, f"an {chip.title} has no GPIO {wire.pin}: {free}")
        elif wire.pin in taken:
            yield Fault(
                wire.place,
                f"GPIO {wire.pin} of this {chip.title} belongs to its flash or PSRAM: {free}",
            )
        elif wire.pin in chip.input_only and wire.way not in (IN, ANALOG):
            yield Fault(
                wire.place, f"GPIO {wire.pin} of an {chip.title} is an input only: choose another pin"
            )
        elif wire.way == ANALOG and wire.pin not in chip.adc1:
            yield from _no_adc(chip, wire, settings)


def _no_adc(chip: Chip, wire: Wire, settings: Mapping[str, Any]) -> Iterator[Fault]:
    better = _ranges(chip.adc1)
    if wire.pin not in chip.adc2:
        yield Fault(wire.place, f"GPIO {wire.pin} has no converter: {better}")
    elif "wifi" in settings:
        yield Fault(
            wire.place, f"GPIO {wire.pin} is on ADC2, which Wi-Fi needs for itself ([wifi]): {better}"
        )


def harmless(
    chip: Chip, settings: Mapping[str, Any], parts: Mapping[str, str], wiring: Mapping[str, Any]
) -> Iterator[Fault]:
    """What a pin does at a reset, or for the console, the port or a pull, is accepted with a reason."""
    listed = wiring.get("accepted", [])
    if not isinstance(listed, list):
        yield Fault(ACCEPTED_KEY, 'has to be a list of texts, each "gpio5: why"')
        return
    accepted: set[int] = set()
    for text in listed:
        found = ACCEPTED.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            yield Fault(ACCEPTED_KEY, f'{text!r} is not of the form "gpio5: why it does no harm"')
        else:
            accepted.add(int(found[1]))
    used: set[int] = set()
    for wire in wires(settings, parts):
        for why in _harms(chip, wire):
            used.add(wire.pin)
            if wire.pin not in accepted:
                yield Fault(
                    wire.place,
                    f"{why}. Choose another pin, or say in {ACCEPTED_KEY} why it does no harm here: "
                    f'"gpio{wire.pin}: …"',
                )
    for pin in sorted(accepted - used):
        yield Fault(ACCEPTED_KEY, f"gpio{pin} is used for nothing that needs to be accepted: take it out")


def _harms(chip: Chip, wire: Wire) -> Iterator[str]:
    pin = wire.pin
    if pin in chip.strapping:
        yield f"GPIO {pin} is read at a reset: {chip.strapping[pin]}"
    if pin in chip.uart:
        yield f"GPIO {pin} is the console's {chip.uart[pin]}, on which the stock image and the ROM talk"
    if pin in chip.usb:
        yield f"GPIO {pin} is {chip.usb[pin]} of the USB port, which is gone then"
    if pin in chip.input_only and wire.table in PULLED:
        yield f"GPIO {pin} has no pull of its own, so that it floats while nothing drives it"


def _ranges(pins: frozenset[int]) -> str:
    """ "choose one of 0 to 5, 9"."""
    spans: list[list[int]] = []
    for pin in sorted(pins):
        if spans and pin == spans[-1][1] + 1:
            spans[-1][1] = pin
        else:
            spans.append([pin, pin])
    return "choose one of " + ", ".join(f"{a} to {b}" if b > a else f"{a}" for a, b in spans)
