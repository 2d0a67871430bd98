"""What a node pays, in microseconds: run by a MicroPython VM, which prints `name median worst` lines.

Slow public-key work is cut into slices so that sampling goes on between them: there the longest slice counts.
"""

import os
import time
from array import array

from protocol import attest, crypto, frames, identity, seal, waveform

RUNS = 9


class Committed:
    """Stands for a boot record."""

    boot_id = bytes(12)


def measure(name, work):
    """Print what one call of `work` takes."""
    times = []
    for _ in range(RUNS):
        began = time.ticks_us()
        work()
        times.append(time.ticks_diff(time.ticks_us(), began))
    times.sort()
    print(name, times[RUNS // 2], times[-1])


def measure_slices(name, make_steps):
    """Print the sum and the longest of the slices of one run."""
    steps = make_steps()
    total = longest = 0
    while True:
        began = time.ticks_us()
        try:
            next(steps)
        except StopIteration:
            break
        took = time.ticks_diff(time.ticks_us(), began)
        total += took
        longest = max(longest, took)
    print(name, total, longest)


def heartbeats(n):
    """A second or so of something that has the shape of an ECG, in 16 bits."""
    out = array("h", [0] * n)
    for i in range(n):
        phase = i % 208
        out[i] = 300 - 30 * abs(phase - 100) if 90 < phase < 110 else (i * 7919) % 5
    return out


def main():
    """Everything a frame costs, and the public-key work of a boot."""
    me = crypto.run(identity.generate_steps(os.urandom(64)))
    keys = seal.SealingKeys(os.urandom(16), Committed())
    samples = heartbeats(250)
    data = waveform.encode(samples, 250)
    body = {1: 0, 2: 250, 3: 4000000, 4: 3052, 5: waveform.CODEC, 6: data, 15: 2}
    plaintext = frames.pack(frames.KIND_WAVE, 1000000, body)
    attester = attest.Attester(me, Committed.boot_id)
    numbers = iter(range(RUNS))
    sealed = iter(range(RUNS))
    measure("waveform_encode_250", lambda: waveform.encode(samples, 250))
    measure("frame_pack", lambda: frames.pack(frames.KIND_WAVE, 1000000, body))
    measure("frame_seal", lambda: keys.seal(next(sealed), plaintext))
    measure("attest_add", lambda: attester.add(next(numbers), plaintext))
    measure_slices("attest_sign", lambda: attester.sign_steps(0))
    peer = crypto.run(crypto.x25519_public_steps(os.urandom(32)))
    measure_slices("x25519", lambda: crypto.x25519_steps(me.x_sk, peer))


main()
