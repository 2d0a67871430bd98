"""Which benchmarks there are. Each is a module here with `main(argv)`, imported when it is asked for.

A module has the name of its benchmark, but not of a room of the project: a VM that runs a script of this
folder looks for imports beside it first.
"""

import importlib

BENCHES = {
    "qrs": "QRS detection and heart rate against annotated recordings, with noise too",
    "rhythm": "irregular rhythm, fibrillation, asystole, noise and mains: found, and falsely found",
    "ecg-cases": "generated ECGs of known size, rate, drift and pacing: what must be found and what must not",
    "spo2": "SpO2, pulse and their quality on pulse waves of known saturation, or on a recording",
    "nibp": "blood pressure on virtual arms of known pressure, or on a recorded deflation",
    "alarms": "each alarm: whether it comes, how late, and how often for nothing",
    "waveform": "bits a sample of the waveform codec, beside FLAC and others",
    "protocol": "microseconds a frame: made and sealed on a node, opened, stored and forwarded by an agent",
    "overhead": "bytes a second on the wire, beside packed binary, SenML-CBOR and JSON of the same content",
    "keys": "a node's public-key work: how long, in how many steps, and the longest of them",
    "node": "CPU, garbage collection, heap and longest turn of a whole virtual node",
    "links": "how fast a node's backlog goes over TCP and over Bluetooth",
    "agent": "a whole agent under load of many nodes: CPU a frame, acknowledgements, receipts, memory",
    "evictions": "how long making room in a store of many frames holds up commits and the event loop",
    "collector": "frames a second through a collector's intake",
    "exports": "memory and frames a second of a person's export and of each of a collector's formats",
}

MODULES = {"protocol": "frame_costs", "ecg-cases": "ecg_cases"}


def lines() -> "list[str]":
    """One line on each."""
    return [f"  {name:10} {what}" for name, what in BENCHES.items()]


def run(name: str, argv: "list[str]") -> int:
    """Run one; its exit status."""
    return importlib.import_module(f"tools.bench.{MODULES.get(name, name)}").main(argv)
