"""Writes the table of docs/signals.md: what the light of a kit says, from firmware/indications.py.

python -m tools.boards.signals
"""

import runpy
from typing import NamedTuple

from tools import build

PAGE = build.ROOT / "docs" / "signals.md"


class Words(NamedTuple):
    """What a state is to the person before the kit: what it means, and what to do about it."""

    means: str
    to_do: str


class State(NamedTuple):
    """`name` in firmware/indications.py, what it is called, what one sees in colour and with one light."""

    name: str
    said: str
    seen: str
    alone: str
    words: Words


WORDS = {
    "OK": Words("Everything that was measured has been delivered", "nothing"),
    "MEASURING": Words("It measures, and is still delivering what it had kept", "nothing"),
    "SEARCHING": Words("It looks for its agent (the box that collects the readings)", "wait a minute"),
    "UNPAIRED": Words("It is new, and belongs to nobody yet", "pair it: plug it in, or scan its label"),
    "PAIRED": Words("It has just been paired", "nothing"),
    "STORING": Words(
        "No agent for more than a minute: it keeps its readings, and delivers them later",
        "nothing for some hours; then see whether the agent is switched on and near enough",
    ),
    "CHARGE": Words(
        "The battery is below 30 %; from 20 % on it is an alarm", "charge it (take the electrodes off before)"
    ),
    "HELP": Words(
        "Something in it does not work: a sensor, its memory",
        "switch it off and on; if that does not help, ask whoever gave it to you",
    ),
    "WIFI_PASSWORD": Words(
        "The Wi-Fi password is wrong", "give it the network again, with the right password"
    ),
    "WIFI_NOT_FOUND": Words(
        "It does not hear its Wi-Fi network",
        "bring it nearer, switch the router on; if the router is on, see that it has a 2.4 GHz network",
    ),
    "WIFI_5GHZ": Words("The network is on 5 GHz, which it cannot hear", "switch 2.4 GHz on at the router"),
    "WIFI_HIDDEN": Words(
        "The network hides its name, and was not found by it", "check how the name is spelt, capitals too"
    ),
    "WIFI_PORTAL": Words(
        "The network wants a page to be filled in first, as in a hotel",
        "use another network: the kit cannot fill in a page",
    ),
    "WIFI_DHCP": Words("The router gives it no address", "switch the router off and on"),
    "NO_AGENT": Words(
        "The network is there, but no agent answers in it",
        "see whether the agent is on, and in the same network",
    ),
    "PROVISIONING": Words("It tries the network that it was just given", "wait half a minute"),
    "UPDATING": Words("It takes a new version", "leave it switched on"),
    "IDENTIFY": Words("Somebody asked which one it is: it is this one", "nothing"),
}

LONG = ("", "1 long, ", "2 long, ", "3 long, ")
SAID = {
    "OK": "all delivered",
    "HELP": "needs help",
    "CHARGE": "needs charging",
    "WIFI_5GHZ": "Wi-Fi 5 GHz",
    "WIFI_DHCP": "Wi-Fi address",
    "IDENTIFY": "this one",
    "PROVISIONING": "given a network",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")

FROM, TO = "<!-- from here on made by python -m tools.boards.signals -->\n", "<!-- to here -->\n"
HEAD = "| | what one sees | with one light | what it means | what to do |\n|---|---|---|---|---|\n"


def page(written: str) -> str:
    """The document `written`, with the table as it is now."""
    before, _, rest = written.partition(FROM)
    _, end, after = rest.partition(TO)
    if not end:
        raise ValueError(f"{PAGE.name} has no lines {FROM!r} and {TO!r}")
    return f"{before}{FROM}\n{_table()}\n{TO}{after}"


def states() -> list[State]:
    """The states, the most urgent first."""
    known = runpy.run_path(str(build.ROOT / "firmware" / "indications.py"))
    names = {known[name]: name for name in WORDS}
    return [_state(names[state], known["PATTERNS"][state], known) for state in known["URGENCY"]]


def _state(name: str, pattern: int, known: dict[str, int]) -> State:
    colours = {known[colour]: colour.lower() for colour in ("GREEN", "BLUE", "VIOLET", "WHITE")}
    colour, n = pattern >> 4, pattern & 15
    flashes = "constant" if name == "OK" else f"{NUMBERS[n]} flash{'es' if n > 1 else ''}"
    one = f"{LONG[colour - known['GREEN']]}{n} short"
    said = SAID.get(name, name.lower().replace("_", " ").replace("wifi", "Wi-Fi"))
    return State(name, said, f"{colours[colour]}, {flashes}", one, WORDS[name])


def _table() -> str:
    rows = [(one.said, one.seen, one.alone, one.words.means, one.words.to_do) for one in states()]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> None:
    """Write it."""
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
