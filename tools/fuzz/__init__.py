"""Hostile input against every decoder and both sessions: generator, targets, runners.

`python -m tools.fuzz --help`. outcome.py, parties.py, wire.py and sessions.py run on MicroPython, too, where
on_vm.py gives them the same inputs and compare.py expects the same outcomes.
"""
