"""Register-level models of the chips; they run on CPython and MicroPython."""
