"""Code that a node seldom needs is imported where it is wanted, and forgotten afterwards: a node's heap
has no room for all of it at once. Elsewhere it stays.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

SIGNING = ("ed25519", "edwards25519", "field25519", "limbs")
"""For a signature or its check."""
ALL = SIGNING + ("x25519", "hpke", "node_keywork", "node_clear")
"""And for pairing and connecting."""
CLEAR = ("node_clear",)
"""For clear messages: what slow work has no use for."""
AGREEING = ("x25519", "hpke")
"""For what two parties' keys have in common: a signature has no use for it."""
HELD = ("held",)
"""For the ranges of a hello and of what other agents have."""
refused: "list[str]" = []
"""What could not be compiled, and is not tried again: the executable memory that an ESP32 spent on it comes
back at a reset only.
"""
REGISTER_WORDS = 800
"""Of what key work calculates in, at most (edwards25519.py)."""
kept: "list[array[int] | None]" = [None, None]
"""Such registers, while nobody uses them, and all the time: in a heap in pieces there may be no room for them
later. Elsewhere than on a node: none.
"""


def forget(names: "tuple[str, ...]") -> None:
    """Give the heap back what importing these modules of this package took. Who runs their code goes on."""
    if sys.implementation.name == "micropython":
        for name in names:
            forget_module("protocol", name)


def forget_module(package: str, name: str) -> None:
    """Have the next import of a module read it anew."""
    sys.modules.pop(package + "." + name, None)
    room = sys.modules.get(package)
    if hasattr(room, name):
        delattr(room, name)
