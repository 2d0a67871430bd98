"""Plays a scene through the firmware's signal chains and alarm engine, for the benchmark `alarms`."""

import struct
from dataclasses import dataclass

from tools.bench.alarm_cases import ECG_HZ, LSB_NV, PPG_HZ, Scene
from tools.bench.interpreter import run

LEAD_OFF, NO_PPG, UNPLUGGED, WATCH = 1, 2, 4, 8
HEAD = "<BBHHHH"
# Reads one record a second from argv[1], behind a line of alarm limits; writes "E second code state priority
# number" for each event frame, and "S second priority" when the highest priority changes.
RUNNER = """\
import struct
import sys
from array import array
from firmware.alarm_rules import rule_of
from firmware.alarms import Alarms
from firmware.dsp.ecg import EcgChain
from firmware.dsp.ppg import PpgChain
from firmware.readings import Readings
from protocol import frames as f


class World:
    seconds = 0

    def now_us(self):
        return self.seconds * 1000000

    def event(self, code, priority, value=None, text=None, more=None):
        print("E", self.seconds, code, more[f.EVENT_STATE], priority, more[f.EVENT_ALARM])


class Settings:
    mode = f.MODE_WATCH
    levels = {}


class Sensor:
    driver = 1
    off = False
    held = ""

    def __init__(self, chain):
        self.chain = chain


world = World()
settings = Settings()
alarms = Alarms(world, world, settings)
readings = Readings()
ecg = Sensor(EcgChain(lsb_nv=%d))
ppg = Sensor(PpgChain())
short = array("h", [0] * 250)
long = array("i", [0] * 100)
block = array("i", [0] * 25)
red = array("i", [0] * 10)
ir = array("i", [0] * 10)
head = bytearray(%d)
numbers = 0
active = 0
with open(sys.argv[1], "rb") as file:
    for limit in file.readline().split():
        code, limit, delay_s = [int(n) for n in limit.decode().split(",")]
        settings.levels[rule_of(code, limit)] = (limit, delay_s)
    while file.readinto(head):
        flags, battery, cuff, systolic, diastolic, number = struct.unpack("%s", head)
        file.readinto(short)
        ecg.off = bool(flags & 1)
        ecg.driver = None if flags & 4 else 1
        settings.mode = f.MODE_WATCH if flags & 8 else f.MODE_SPOT_CHECK
        for at in range(0, 250, 25):
            for i in range(25):
                block[i] = short[at + i]
            if not flags & 4:
                ecg.chain.process(block, 25, ecg.off)
        ecg.chain.take_beats()
        if not flags & 2:
            file.readinto(long)
            both = array("i", long)
            file.readinto(long)
            for at in range(0, 100, 10):
                for i in range(10):
                    red[i] = both[at + i]
                    ir[i] = long[at + i]
                ppg.chain.process(red, ir, 10)
            ppg.off = ppg.chain.no_finger
        world.seconds += 1
        readings.take(ecg, None if flags & 2 else ppg)
        readings.battery_pct = battery
        readings.cuff_fault = cuff
        if number:
            readings.bp = (systolic, diastolic, number, 0)
        alarms.second(readings)
        if alarms.active != active:
            active = alarms.active
            print("S", world.seconds, active)
"""


@dataclass(frozen=True)
class Told:
    """One event frame: when it was made, in s of the run."""

    at_s: int
    code: int
    state: int
    priority: int
    number: int


def encode(scene: Scene) -> bytes:
    """What the runner reads."""
    parts = [" ".join(",".join(map(str, one)) for one in scene.limits).encode() + b"\n"]
    number = 0
    pressure = (0, 0)
    battery, fault = 80, 0
    for s in range(scene.seconds):
        if s in scene.pressures:
            number += 1
            pressure = scene.pressures[s]
        battery = scene.battery.get(s, battery)
        fault = scene.cuff_fault.get(s, fault)
        flags = WATCH * scene.watch | LEAD_OFF * (s in scene.lead_off) | UNPLUGGED * (s in scene.unplugged)
        flags |= NO_PPG * (scene.red is None)
        parts.append(struct.pack(HEAD, flags, battery, fault, *pressure, number))
        parts.append(scene.ecg[s * ECG_HZ : (s + 1) * ECG_HZ].astype("<i2").tobytes())
        if scene.red is not None and scene.ir is not None:
            for wave in (scene.red, scene.ir):
                parts.append(wave[s * PPG_HZ : (s + 1) * PPG_HZ].astype("<i4").tobytes())
    return b"".join(parts)


def play(scene: Scene, runs: str) -> "tuple[list[Told], list[int]]":
    """(event frames, highest priority of each second) of the firmware's alarms over the scene."""
    script = RUNNER % (LSB_NV, struct.calcsize(HEAD), HEAD)
    lines = [line.split() for line in run(script, encode(scene), runs)]
    told = [Told(*map(int, line[1:])) for line in lines if line[0] == "E"]
    active = [0] * (scene.seconds + 1)
    for line in lines:
        if line[0] == "S":
            active[int(line[1]) :] = [int(line[2])] * (scene.seconds + 1 - int(line[1]))
    return told, active
