"""The board that exists only in software: chips, the patient they are attached to, and the bus between them
and a VM.

Two halves. On the host (CPython): `patient` and its parts, `chips/`, `clock`, `bridge` (serves the buses),
`rig` (runs a node). On the node (MicroPython, also a bare ESP32): `remote_bus` (buses whose other end is the
bridge), `host` (finds the bridge of a VM), `shims/` (what a VM must have otherwise: time that can run fast,
ticks that wrap as on an ESP32).

What the rig tells the VM, in environment variables:
  VITALWIRE_BRIDGE        path of the bridge's unix socket
  VITALWIRE_SPEED         how many times faster than the wall the node's clock runs
  VITALWIRE_FLASH         folder that stands for the node's flash
  VITALWIRE_RTC           file that stands for the RTC memory (survives a reset, not a power cut)
  VITALWIRE_RESET_CAUSE   as the wire protocol's boot frame numbers it
"""
