"""Whether a MicroPython VM counts as an ESP32 does; run by it."""

import gc
import struct
import sys
import time

import cryptolib
import micropython


@micropython.viper
def third(words: ptr32) -> int:  # noqa: F821 - viper's own type
    """The third word, as a signed one."""
    return words[2]


def cost(n):
    """Heap bytes that `n + 1` takes."""
    gc.collect()
    before = gc.mem_alloc()
    kept = n + 1
    return gc.mem_alloc() - before if kept else 0


assert 1.7e9 + 1.0 == 1.7e9 and 1e8 + 1.0 - 1e8 == 0.0, "floats are not single"
assert struct.pack("<f", 1.0 / 3) == b"\xab\xaa\xaa\x3e", "excess precision"
assert sys.maxsize == 0x7FFFFFFF, "words are not 32 bits"
assert cost(0x3FFFFFFE) == 0 < cost(0x3FFFFFFF), "small integers are not 31 bits"
assert time.ticks_add(0, -1) == 0x3FFFFFFF, "ticks do not wrap at 2^30"
assert third(struct.pack("<iii", 1, 2, -5)) == -5, "no viper, or ptr32 is not signed"
# FIPS 197, appendix B
key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
block = cryptolib.aes(key, 1).encrypt(bytes.fromhex("3243f6a8885a308d313198a2e0370734"))
assert block == bytes.fromhex("3925841d02dc09fbdc118597196a0b32"), "AES"
