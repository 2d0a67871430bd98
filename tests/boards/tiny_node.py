"""A node of a few lines for the tests of the rig: reads the chips, says what it got, obeys STOP. Run by the
MicroPython VM.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import os
import sys
import time
from array import array

from boards.virtual.host import connect
from boards.virtual.remote_bus import RemoteI2C, RemoteSPI
from drivers.max30003 import Max30003
from drivers.max30102 import Max30102


def say(*words):
    sys.stdout.write(" ".join(str(w) for w in words) + "\n")


bridge = connect()
try:
    with open(os.getenv("VITALWIRE_RTC") or "") as f:
        memory = f.read()
except OSError:
    memory = "-"
with open(os.getenv("VITALWIRE_RTC") or "", "w") as f:
    f.write("remembered")
say("boot", os.getenv("VITALWIRE_RESET_CAUSE"), memory, time.ticks_us() > (1 << 30) - 5_000_000)
ecg = Max30003(RemoteSPI(bridge))
ppg = Max30102(RemoteI2C(bridge))
for chip in (ecg, ppg):
    chip.check()
    chip.configure()
    chip.start()
into, red, infrared = (array("i", [0] * 32) for _ in range(3))
lost = 0
while not bridge.gpio_read("STOP"):
    time.sleep_ms(40)
    n = ecg.drain(into)
    m = ppg.drain(red, infrared)
    lost += ecg.overflowed != 0 or ppg.overflowed != 0
    say("ecg", time.ticks_us(), *(into[i] for i in range(n)))
    say("ppg", *(red[i] for i in range(m)))
    if bridge.gpio_read("HANG"):
        bridge.watchdog(300)
        time.sleep(1000)
    if bridge.gpio_read("RESET"):
        bridge.gpio_write("RESET", 0)
        sys.exit(64)
say("stopped", lost)
