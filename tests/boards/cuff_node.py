"""A node of a few lines that pumps: for the tests of what becomes of its pins. Run by the MicroPython VM."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import os
import time

from machine import Timer

from boards.virtual.host import connect
from boards.virtual.remote_pins import Crossing, RemotePin, RemotePwm
from drivers.cuff_actuator import FULL, CuffActuator

bridge = connect()
crossing = Crossing(bridge, connect())
pin = [RemotePin(crossing, name) for name in ("RELEASE", "FEED", "ARM", "SWITCH")]
cuff = CuffActuator(RemotePwm(crossing, "PUMP"), RemotePwm(crossing, "VALVE"), *pin)
print("boot", os.getenv("VITALWIRE_RESET_CAUSE"))
bridge.watchdog(1500)
while not bridge.gpio_read("GO"):
    time.sleep_ms(10)
    bridge.watchdog(1500)


def feed(timer):
    crossing.call(lambda _: cuff.feed(), timer)


timer = Timer(0, mode=Timer.PERIODIC, period=50, callback=feed)
cuff.arm(1)
cuff.release(1)
cuff.valve(FULL)
cuff.pump(FULL)
fed = 0
while not bridge.gpio_read("STOP"):
    if bridge.gpio_read("LOOP"):
        fed += 1
        continue
    bridge.watchdog(1500)
    time.sleep_ms(20)
timer.deinit()
