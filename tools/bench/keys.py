"""How long a node's public-key work takes, and each of its steps: between two of them sampling goes on.

    python -m tools.bench keys [--runs 15] [--json FILE]

On the MicroPython VM, and on the 32-bit one ($MICROPYTHON32, else build/vm32/micropython) where there is one.
An ESP32 takes about 55 times as long: its 20 ms are 0.36 ms here. A step's time is the least of the
runs, for what is above that is other processes' doing; the collections that fall into it are counted. The
code is loaded once, before: a node reads it from flash as bytecode, which is no work of these steps. Garbage
is what an operation allocates while nothing is collected, its result included.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boards.virtual.rig import HEAP, RigError, find_micropython
from tools.bench import report
from tools.bench.interpreter import ROOT, run

RUNS = 15
# 20 ms of an ESP32, as it takes 55 times as long.
LIMIT_US = 360
# The 32-bit VM has words of half the size, but sources are loaded here, which an ESP32 does not do.
HEAP32 = "400K"

# One line for each run of each operation: its name and what each step took; in the first, the bytes.
NODE = """\
import gc, sys, time
from protocol import attest, crypto, identity, on_demand, seal
on_demand.forget = lambda names: None
with open(sys.argv[1]) as f:
    runs = int(f.read())
def party(n):
    return crypto.run(identity.generate_steps(bytes([n]) * 64))
node, agent = party(1), party(2)
them = agent.x_pub
boot, nonce, eph, message = bytes(12), bytes(16), bytes(range(32)), bytes(120)
signature = crypto.run(crypto.ed25519_sign_steps(agent.ed_seed, agent.ed_pub, message))
down = seal.Downlink
enc, _ = crypto.run(down.sender_steps(agent, node.id, node.x_pub, boot, nonce, eph))
def attested():
    attester = attest.Attester(node, boot)
    for n in range(64):
        attester.add(n, message)
    return attester.sign_steps(0)
operations = (
    ("identity made", lambda: identity.generate_steps(bytes(64))),
    ("boot header for one agent", lambda: seal.wrap_header_steps(nonce, boot, node, agent.id, them, eph)),
    ("welcome opened", lambda: down.receiver_steps(enc, node, agent.id, them, boot, nonce)),
    ("attestation signed", attested),
    ("order verified", lambda: crypto.ed25519_verify_steps(agent.ed_pub, message, signature)),
    ("X25519", lambda: crypto.x25519_steps(node.x_sk, them)),
    ("X25519 public key", lambda: crypto.x25519_public_steps(node.x_sk)),
)
for name, make in operations:
    crypto.run(make())
    gc.collect()
    steps = make()
    gc.disable()
    before = gc.mem_alloc()
    crypto.run(steps)
    garbage = gc.mem_alloc() - before
    gc.enable()
    print(name, garbage, sep=",")
    for n in range(runs):
        steps = make()
        times = []
        gc.collect()
        more = True
        while more:
            began = time.ticks_us()
            try:
                next(steps)
            except StopIteration:
                more = False
            times.append(time.ticks_diff(time.ticks_us(), began))
        print(name, *times, sep=",")
"""


def vm32() -> "str | None":
    """The 32-bit VM, or None."""
    named = os.environ.get("MICROPYTHON32")
    if named:
        return named
    built = Path(ROOT) / "build/vm32/micropython"
    return str(built) if built.exists() else None


def measure(vm: str, heap: str, runs: int) -> "dict[str, dict[str, float]]":
    """By operation: `total_ms`, `steps`, and `median_us`, `p99_us`, `longest_us` of them; `garbage_bytes` of
    all. RigError.
    """
    try:
        lines = run(NODE, str(runs).encode(), vm, heap=heap)
    except subprocess.CalledProcessError as e:
        raise RigError(f"the VM ended with status {e.returncode}: {e.stderr.strip()[-300:]}") from e
    timed: dict[str, list[list[int]]] = {}
    for line in lines:
        name, *times = line.split(",")
        timed.setdefault(name, []).append([int(one) for one in times])
    return {name: _summary(rows[1:]) | {"garbage_bytes": rows[0][0]} for name, rows in timed.items()}


def _summary(rows: "list[list[int]]") -> "dict[str, float]":
    steps = sorted(min(column) for column in zip(*rows, strict=True))
    return {
        "total_ms": round(sum(steps) / 1000, 2),
        "steps": len(steps),
        "median_us": round(statistics.median(steps)),
        "p99_us": round(steps[(len(steps) - 1) * 99 // 100]),
        "longest_us": round(steps[-1]),
    }


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 where there is no VM, or it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench keys", description="A node's public-key work, and the steps it comes in."
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="of each operation (%(default)s)")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.runs < 1:
        parser.error("--runs begins at 1")
    found: dict[str, Any] = {"limit_us": LIMIT_US}
    try:
        found["vm"] = measure(find_micropython(), HEAP, options.runs)
        small = vm32()
        if small is not None:
            found["vm32"] = measure(small, HEAP32, options.runs)
    except (RigError, OSError) as e:
        print(f"nothing can be measured: {e}", file=sys.stderr)
        return 1
    for line in _lines(found):
        print(line)
    report.write(options.json, found)
    return 0


def _lines(found: "dict[str, Any]") -> "list[str]":
    lines = [f"public-key work of a node, in steps of at most {LIMIT_US} us (20 ms of an ESP32)"]
    for key, what in (("vm", "64-bit VM"), ("vm32", "32-bit VM")):
        if key not in found:
            continue
        heads = ("total ms", "steps", "median us", "99 % us", "longest us", "garbage B")
        lines.append(f"{what:28}" + "".join(f"{head:>11}" for head in heads))
        for name, row in found[key].items():
            late = "  above the limit" if row["longest_us"] > LIMIT_US else ""
            lines.append(
                f"  {name:26}{row['total_ms']:11.2f}{row['steps']:11d}{row['median_us']:11d}"
                f"{row['p99_us']:11d}{row['longest_us']:11d}{row['garbage_bytes']:11d}{late}"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
