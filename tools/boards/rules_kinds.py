"""Rules about values: a key of a table that every board may have is one that is read, and of its kind."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tools.boards.fault import Fault
from tools.boards.wires import BUSES, CUFF_PINS, SPEED

# A name that DHCP servers take (RFC 1123, section 2.1).
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
# Beside it there are five characters of the node's id in a scan response of 31 bytes.
BLE_NAME = re.compile(r"[!-~]([ -~]{0,18}[!-~])?")
KEY_HEX = re.compile(r"[0-9a-f]{64}")


class Kind(NamedTuple):
    """`what`: in words; `least` to `most` of a number, in steps; a pattern of a text; neither: a truth."""

    what: str
    least: int | None = None
    most: int = 0x3FFFFFFF
    text: "re.Pattern[str] | None" = None
    step: int = 1

    def holds(self, value: object) -> bool:
        """Whether the value is one."""
        if self.text is not None:
            return isinstance(value, str) and self.text.fullmatch(value) is not None
        if self.least is None:
            return isinstance(value, bool)
        return type(value) is int and value in range(self.least, self.most + 1, self.step)


TRUTH = Kind("true or false")
LINE = Kind("a line of text", text=re.compile(r"[^\n\r]*\S[^\n\r]*"))
BAUD = Kind("a speed in bits a second", 300)
# What has rules of its own (rules_pins.py, rules_whole.py, and below).
ELSEWHERE = PIN = None
Kinds = Mapping[str, Kind | None]
TABLES: Mapping[str, Kinds] = {
    "link": {"baud": BAUD},
    "button": {"pin": PIN, "active_low": TRUTH},
    "led": {"pin": PIN, "red": PIN, "green": PIN, "blue": PIN, "active_low": TRUTH},
    "buzzer": {"pin": PIN},
    "charger": {"pin": PIN, "active_low": TRUTH},
    "bridge": {
        "uart": Kind("the number of a UART", 0, 2),
        "baud": BAUD,
        "tx": PIN,
        "rx": PIN,
        "rxbuf": Kind("256 bytes or more", 256, 65536),
        "timeout_ms": Kind("1 to 10000 ms", 1, 10000),
        "attempts": Kind("1 to 100", 1, 100),
    },
    "wifi": {"hostname": Kind("a name of up to 32 letters, digits and hyphens", text=HOSTNAME)},
    "ble": {
        "name": Kind("a name of up to 20 letters without accents, digits and blanks", text=BLE_NAME),
    },
    "phones": {},
    "radio": {"at_once": ELSEWHERE},
    "spool": {"max_kib": ELSEWHERE},
    "update": {
        "slots": Kind("2, as many as there are", 2, 2),
        "makers": ELSEWHERE,
        "trial_s": Kind("1 to 86400 s", 1, 86400),
        "steady_s": Kind("1 to 86400 s", 1, 86400),
    },
    "node": {
        "mains_hz": Kind("50 or 60", 50, 60, step=10),
        "outbox_bytes": Kind("how many bytes of memory it takes", 1),
        "watchdog": TRUTH,
        "isolated": TRUTH,
    },
}
# What every key of a part's table is, whichever bus that has.
PART: Kinds = {
    **dict.fromkeys(("device", "bus", *BUSES), Kind("the number of a bus", 0, 7)),
    **dict.fromkeys(signal for signals in BUSES.values() for signal in signals),
    "adc": PIN,
    **dict.fromkeys(SPEED.values()),
    "phase": Kind("0 or 1", 0, 1),
}
CUFF: Kinds = {
    **PART,
    **dict.fromkeys(CUFF_PINS),
    **dict.fromkeys(("second_release", "pressure_switch"), TRUTH),
    "monostable_ms": Kind("a time in ms", 1),
    "size": Kind("0 to 3", 0, 3),
}


def kinds(settings: Mapping[str, Any], parts: Mapping[str, str], wired: bool) -> Iterator[Fault]:
    """Of every table that is known. `wired`: the board's parts are on its own pins, not on a bus bridge."""
    if not LINE.holds(settings.get("title", settings["name"])):
        yield Fault("title", f"is {settings['title']!r}: say what the board is, in one line")
    for table, keys in TABLES.items():
        if table in settings:
            yield from _table(table, settings[table], keys)
    for role in parts:
        yield from _table(role, settings.get(role), CUFF if role == "cuff" else PART)
        if isinstance(settings.get(role), Mapping):
            yield from _bus(role, settings[role], wired)
    makers = settings["update"].get("makers", []) if isinstance(settings.get("update"), Mapping) else []
    if not isinstance(makers, list) or not all(
        isinstance(one, str) and KEY_HEX.fullmatch(one) for one in makers
    ):
        yield Fault(
            "[update] makers", "has to be a list of public keys, each 64 of 0 to 9 and a to f, in quotes"
        )


def _table(name: str, found: object, keys: Kinds) -> Iterator[Fault]:
    if not isinstance(found, Mapping):
        yield Fault(name, f"has to be a table: [{name}]")
        return
    for key, value in found.items():
        if key not in keys:
            yield Fault(f"[{name}] {key}", f"is not known; [{name}] has {', '.join(keys)}")
            continue
        kind = keys[key]
        if kind is not None and not kind.holds(value):
            yield Fault(f"[{name}] {key}", f"is {value!r}; it has to be {kind.what}")


def _bus(role: str, found: Mapping[str, Any], wired: bool) -> Iterator[Fault]:
    """A part is on one bus."""
    named = [key for key in BUSES if key in found]
    if len(named) > 1:
        yield Fault(f"[{role}]", f"names {' and '.join(named)}: a part is on one of them, take the other out")
    elif wired and not named:
        yield Fault(f"[{role}]", "names no bus, so nothing says which pins it is on: i2c, spi or adc")
    elif not wired and "device" not in found and "bus" not in found:
        yield Fault(f"[{role}]", "names neither device (of SPI) nor bus (of I²C) of the bus bridge")
