"""What a board says of itself at the prompt, before it is a node: `vitalwire flash` asks it.

`self_test` prints a line of JSON for each result, [name, what was found, unit, "" or why it is wrong], and as
the last one {"ed25519", "x25519": the public keys in hex, "strong": whether a true random source went into
them}. Nothing secret is printed. No node loads this.
"""

import gc
import json
import os
import time

from drivers.errors import DriverError
from firmware.entropy import EntropyPool
from firmware.flash import FlashError, Records, sync_file
from firmware.keys import KeyStore
from firmware.start import STATE_FOLDER
from protocol import crypto

SCRATCH = "selftest.tmp"
SCRATCH_BYTES = 16384
PIECE = 512
# What the test itself and the sensors' drivers want.
HEAP_KEPT = 24576
HEAP_LEAST = 32768
FLASH_LEAST = 32768
LOOKS = 5
LOOK_MS = 50


def self_test(make_board, sensors, config):
    """Test the board that `make_board` makes of its `config`, with the drivers `sensors` by role; keys are
    made where there are none."""
    _say("ram", *_try_ram())
    # A watchdog that runs cannot be stopped, and nobody would feed it here.
    config["node"]["watchdog"] = False
    board = make_board(config)
    folder = board.root + "/" + STATE_FOLDER if board.root else STATE_FOLDER
    try:
        os.mkdir(folder)
    except OSError:
        pass
    _say("flash", *_try_flash(folder + "/" + SCRATCH))
    for role in sensors:
        _say(role, sensors[role].part, "", _try_sensor(board, role, sensors[role]))
    for name in ("wifi", "ble"):
        if name in config:
            _say(name, *_try_radio(name))
    held = [board.consent() for _ in range(LOOKS) if time.sleep_ms(LOOK_MS) is None]
    _say("button", "held" if held[-1] else "free", "", "held or stuck: let go of it" if all(held) else "")
    _tell_keys(board, Records(folder))


def _say(name, found, unit, why):
    print(json.dumps([name, found, unit, why]))


def _try_ram():
    """Fill what is free with two patterns, and look at it again."""
    gc.collect()
    free = gc.mem_free()  # pyright: ignore[reportAttributeAccessIssue]
    pieces = []
    patterns = (b"\x55\xaa" * (PIECE // 2), b"\xaa\x55" * (PIECE // 2))
    try:
        while len(pieces) * PIECE < free - HEAP_KEPT:
            pieces.append(bytearray(PIECE))
    except MemoryError:
        # What keeps account of the pieces takes memory, too: more than is kept, where there is PSRAM.
        for _ in range(min(len(pieces), HEAP_KEPT // PIECE)):
            pieces.pop()
    wrong = 0
    for pattern in patterns:
        for piece in pieces:
            piece[:] = pattern
        for piece in pieces:
            wrong += piece != pattern
    tested = len(pieces) * PIECE
    if wrong:
        return tested, "bytes", "%d pieces of memory do not keep what is written" % wrong
    return tested, "bytes", "" if free >= HEAP_LEAST else "no more than %d bytes are free" % free


def _try_flash(path):
    """Write a file, read it, erase it."""
    whole = bytes([n & 255 for n in range(256)]) * (PIECE // 256)
    begun = time.ticks_ms()
    try:
        with open(path, "wb") as file:
            for _ in range(SCRATCH_BYTES // PIECE):
                file.write(whole)
            sync_file(file)
        same = True
        with open(path, "rb") as file:
            for _ in range(SCRATCH_BYTES // PIECE):
                same = same and file.read(PIECE) == whole
        os.remove(path)
        state = os.statvfs(path.rpartition("/")[0])
    except OSError as error:
        return 0, "bytes free", "write, read and erase: " + str(error)
    took = time.ticks_diff(time.ticks_ms(), begun)
    free = state[0] * state[3]
    if not same:
        return free, "bytes free", "a file does not hold what was written"
    if took > 10000:
        return free, "bytes free", "16 KB took %d ms" % took
    return free, "bytes free", "" if free >= FLASH_LEAST else "too little for what a node keeps"


def _try_sensor(board, role, driver):
    """Whether the chip's identity register says that it is the one, by its driver."""
    try:
        driver(*board.bus(role)).check()
    except (OSError, DriverError) as error:
        return str(error) + ": see to its wires and supply"
    return ""


def _try_radio(name):
    """(its address, "", why it is not there). By getattr: a slim build renames what it takes for attributes
    of its own."""
    try:
        if name == "wifi":
            import network

            radio = network.WLAN(network.STA_IF)
        else:
            import bluetooth

            radio = bluetooth.BLE()
        getattr(radio, "active")(True)
        address = getattr(radio, "config")("mac")
        getattr(radio, "active")(False)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return "", "", "no radio: " + str(error)
    return (address if name == "wifi" else address[1]).hex(), "", ""


def _tell_keys(board, records):
    try:
        pool = EntropyPool(records, board.entropy)
        store = KeyStore(records)
        identity = crypto.run(store.identity_steps(pool.random, pool.strong))
    except FlashError as error:
        _say("keys", "", "", "they cannot be kept: " + str(error))
        return
    why = "" if store.strong else "drawn without a true random source: erase the board and flash it again"
    _say("keys", identity.id.hex(), "", why)
    public = identity.public()
    print(json.dumps({"ed25519": public[0].hex(), "x25519": public[1].hex(), "strong": store.strong}))
