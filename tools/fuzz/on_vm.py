"""Runs a corpus through one target on the interpreter that executes this: MicroPython, or CPython.

    micropython tools/fuzz/on_vm.py TARGET CORPUS OUTCOMES

CORPUS: inputs, each after its length in two bytes. OUTCOMES gets the first 8 bytes of the SHA-256 of each
outcome. What crashes has an outcome, too, which no sound one equals. Prints one line: how many, free heap
after the first quarter, and at the end. With `-` for OUTCOMES, each outcome is printed instead.
"""

import gc
import sys

from protocol.crypto import sha256
from tools.fuzz import parties

PLACES = {
    "cbor": ("wire", "Cbor"),
    "cobs": ("wire", "Cobs"),
    "cose": ("wire", "Cose"),
    "frames": ("wire", "Frames"),
    "messages": ("wire", "Messages"),
    "orders": ("wire", "Orders"),
    "waveform": ("wire", "Waveform"),
    "session_agent": ("sessions", "Agent"),
    "session_node": ("sessions", "Node"),
}


def outcome(target, data):
    """What came of an input, or, after `!`, what it raised."""
    try:
        return target.run(data)
    except Exception as e:
        return f"!{type(e).__name__}: {e}"


def _free():
    gc.collect()
    free = getattr(gc, "mem_free", None)
    return free() if free else 0


def main(name, corpus, outcomes):
    """The command."""
    parties.remember_curves()
    module, attribute = PLACES[name]
    found = __import__("tools.fuzz." + module, None, None, (attribute,))
    target = getattr(found, attribute)()
    many = 0
    marks = []
    shown = outcomes == "-"
    with open(corpus, "rb") as file, open("/dev/null" if shown else outcomes, "wb") as out:
        file.seek(0, 2)
        size = file.tell()
        file.seek(0)
        while True:
            length = file.read(2)
            if not length:
                break
            said = outcome(target, file.read(length[0] << 8 | length[1]))
            if shown:
                print(said)
            out.write(sha256(said.encode())[:8])
            many += 1
            if not marks and file.tell() * 4 >= size:
                marks.append(_free())
    print(many, marks[0], _free())


main(*sys.argv[1:])
