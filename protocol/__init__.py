"""Bytes, frames, keys, proofs and session state of Vitalwire: no clock, socket, file or log; MicroPython and CPython."""
