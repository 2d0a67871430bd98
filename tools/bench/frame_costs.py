"""What a frame costs: made and sealed on a node's interpreter, opened and decoded, and all an agent does.

    python -m tools.bench protocol [--frames 4000] [--json FILE]

The node's part runs on the MicroPython VM (an ESP32 takes about 55 times as long) and is left out where there
is none: packing (`frames.pack`), sealing (AES-CCM, COSE) and encoding the samples. The agent's part is its
own code on CPython, step by step: unstuffing; opening and authenticating; all that its session does with a
frame (`AgentSession.feed`: both of these, decoding, checking, the event); kind and time without a look at the
body; everything decoded and checked; and the samples of a waveform, compiled and interpreted. Of each the
least of many runs, for what is above it is other processes' doing. Last, the whole way of 200-byte frames
from the port's bytes to the encrypted batch, CPU time stage by stage (tools/bench/agent_stages.py).
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from boards.virtual.rig import HEAP, RigError, find_micropython
from protocol import cbor, cobs, crypto, frames, messages, seal, waveform, waveform_compiled
from protocol.identity import generate_steps
from tools.bench import agent_stages, report
from tools.bench.interpreter import run

RUNS, REPEATS = 20, 60
FRAMES = 4000
NODE_SAMPLES = 250
LONG_SAMPLES = 500
SESSION_FRAMES = 50

# Given are the samples of a second of ECG, and (name, kind, body) of each frame.
NODE = """\
import sys, time
from array import array
from firmware.dsp import kernels
from protocol import frames, seal, waveform
with open(sys.argv[1]) as f:
    ecg, bodies, runs, repeats = eval(f.read())
ecg = array("i", ecg)
class Record:
    boot_id = bytes(12)
keys = seal.SealingKeys(bytes(16), Record)
numbers = iter(range(1 << 30))
def least(work):
    times = []
    for _ in range(repeats):
        began = time.ticks_us()
        for n in range(runs):
            work(n)
        times.append(time.ticks_diff(time.ticks_us(), began) / runs)
    return min(times)
for name, kind, body in bodies:
    plaintext = frames.pack(kind, 1000000, body)
    packed = least(lambda n: frames.pack(kind, 1000000 + n, body))
    print(name, len(plaintext), packed, least(lambda n: keys.seal(next(numbers), plaintext)))
native = least(lambda n: waveform.encode(ecg, len(ecg), 18, kernels.wave_predicted))
print("encode", 0, least(lambda n: waveform.encode(ecg, len(ecg))), native)
"""


def ecg(n: int) -> "list[int]":
    """`n` samples at 250 Hz with the shape of an ECG and some noise."""
    return [(300 - 30 * abs(i % 208 - 100) if 90 < i % 208 < 110 else 0) + i * 7919 % 23 for i in range(n)]


def wave_body(n: int) -> "dict[int, Any]":
    """The body of a wave frame of `n` such samples."""
    data = waveform.encode(ecg(n), n)
    return {1: 0, 2: n, 3: 4_000_000, 4: 3052, 5: waveform.CODEC, 6: data, 15: 2}


def samples() -> "list[tuple[str, int, dict[int, Any]]]":
    """(name, kind, body) of the frames that a node sends most."""
    return [
        ("wave", frames.KIND_WAVE, wave_body(NODE_SAMPLES)),
        ("vitals", frames.KIND_VITALS, {1: 720, 2: [833, 834], 3: 970, 4: 719, 5: 201, 6: 90, 7: 88, 8: 4}),
        ("status", frames.KIND_STATUS, {key: 1000 + key for key in range(1, 15)}),
    ]


def on_node() -> "dict[str, dict[str, float]]":
    """By frame: `bytes`, microseconds to pack and to seal it; of "wave" also to encode its samples.

    RigError when there is no VM.
    """
    vm = find_micropython()
    given = repr((ecg(NODE_SAMPLES), samples(), RUNS, REPEATS))
    try:
        lines = run(NODE, given.encode(), vm, heap=HEAP)
    except subprocess.CalledProcessError as e:
        raise RigError(f"the VM ended with status {e.returncode}: {e.stderr.strip()[-300:]}") from e
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        name, size, packed, sealed = line.split()
        found[name] = {
            "bytes": int(size),
            "pack_us": round(float(packed), 1),
            "seal_us": round(float(sealed), 1),
        }
    encoding = found.pop("encode")
    found["wave"]["waveform_encode_us"] = encoding["pack_us"]
    found["wave"]["waveform_encode_native_us"] = encoding["seal_us"]
    return found


def on_agent() -> "dict[str, dict[str, float]]":
    """By frame: microseconds for each step on CPython; of the long wave frame also for its samples."""
    node, agent = (crypto.run(generate_steps(os.urandom(64))) for _ in range(2))
    keys = seal.SealingKeys(bytes(16), seal.BootKeys(bytes(16), bytes(12)))
    found: dict[str, dict[str, float]] = {}
    long_wave = ("long wave", frames.KIND_WAVE, wave_body(LONG_SAMPLES))
    for name, kind, body in [*samples(), long_wave]:
        plaintext = frames.pack(kind, 1_000_000, body)
        message = messages.data(0, keys.seal(len(found), plaintext))
        session, wire = agent_stages.greeted(node, agent, [plaintext] * SESSION_FRAMES)
        encoded = cobs.encode(message)[:-1]
        found[name] = {
            "bytes": len(plaintext),
            "cobs_us": _least(lambda encoded=encoded: cobs.decode(encoded)),
            "open_us": _least(lambda message=message: keys.open(messages.split_data(message)[1])),
            "session_us": _least(lambda session=session, wire=wire: session.feed(wire, 0), 1)
            / SESSION_FRAMES,
            "envelope_us": _least(lambda plaintext=plaintext: _envelope(plaintext)),
            "decode_us": _least(lambda plaintext=plaintext: frames.unpack(plaintext)),
        }
    data = long_wave[2][frames.WAVE_DATA]
    found["long wave"]["samples_us"] = _least(lambda: waveform.decode(data, LONG_SAMPLES))
    if waveform_compiled.loops().restored is not None:
        compiled = waveform_compiled.decode
        found["long wave"]["samples_compiled_us"] = _least(lambda: compiled(data, LONG_SAMPLES))
    return {name: {key: round(us, 1) for key, us in row.items()} for name, row in found.items()}


def _envelope(plaintext: bytes) -> "tuple[int, int]":
    """Kind and time of a frame without a look at its body: what must be known before the rest is decoded."""
    _, kind, at = cbor.read_head(plaintext, 1)
    return kind, cbor.read_head(plaintext, at)[1]


def _least(work: "Callable[[], object]", runs: int = RUNS) -> float:
    times: list[float] = []
    for _ in range(REPEATS):
        began = time.process_time_ns()
        for _ in range(runs):
            work()
        times.append((time.process_time_ns() - began) / runs / 1000)
    return min(times)


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench protocol", description="Microseconds of CPU a frame, on both sides."
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="through the agent (%(default)s)")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.frames < 1:
        parser.error("--frames begins at 1")
    found: dict[str, Any] = {}
    try:
        found["node"] = on_node()
    except RigError as e:
        print(f"the node's part is left out: {e}", file=sys.stderr)
    found["agent_frame"] = on_agent()
    found["agent"] = agent_stages.measure(options.frames)
    for line in _lines(found):
        print(line)
    report.write(options.json, found)
    return 0


def _lines(found: "dict[str, Any]") -> "list[str]":
    lines = ["microseconds of CPU a frame"]
    if "node" in found:
        lines.append(f"{'node (MicroPython VM)':24}{'bytes':>7}{'pack':>9}{'seal':>9}{'both':>9}")
        for name, row in found["node"].items():
            both = row["pack_us"] + row["seal_us"]
            lines.append(
                f"  {name:22}{row['bytes']:7.0f}{row['pack_us']:9.1f}{row['seal_us']:9.1f}{both:9.1f}"
            )
        encoding = found["node"]["wave"]["waveform_encode_us"]
        native = found["node"]["wave"]["waveform_encode_native_us"]
        said = f"{native:.0f} by native code, {encoding:.0f} interpreted"
        lines.append(f"  ({NODE_SAMPLES} samples encoded, before packing: {said})")
    titles = "".join(f"{title:>9}" for title in ("COBS", "open", "session", "envelope", "decode"))
    lines.append(f"{'agent, one frame':24}{'bytes':>7}{titles}")
    keys = ("cobs_us", "open_us", "session_us", "envelope_us", "decode_us")
    for name, row in found["agent_frame"].items():
        lines.append(f"  {name:22}{row['bytes']:7.0f}" + "".join(f"{row[key]:9.1f}" for key in keys))
    long = found["agent_frame"]["long wave"]
    compiled = long.get("samples_compiled_us")
    said = f"{compiled:.0f} compiled" if compiled else "not compiled: numba is not here (extra `fast`)"
    lines.append(f"  ({LONG_SAMPLES} samples decoded: {said}, {long['samples_us']:.0f} interpreted)")
    agent = found["agent"]
    lines.append(
        f"agent, the whole way: {agent['frames']} frames of {agent['frame_bytes']} bytes, commits of"
        f" {agent['commit_frames']}, batches of {agent['batch_frames']}"
    )
    lines += [f"  {stage:30}{us:9.1f}" for stage, us in agent["us_per_frame"].items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
