"""Bytes, frames, keys, proofs and session state of Vitalwire, on MicroPython and CPython. Without I/O."""
