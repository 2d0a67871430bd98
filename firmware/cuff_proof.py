"""How a run of a cuff starts: what is to stop it is seen to work while the cuff is nearly empty. For
firmware/bp_run.py and firmware/cuff_check.py, and forgotten with them.

In this order: without its supply the pump does not turn, with it not before its pin says so; the sensor feels
it turn (it works in strokes, since below a few mmHg a cuff fills without a rise, but what flows through the
hose needs pressure); at 20 mmHg the valve lets go, and the release does.
"""

from firmware import cuff_safety
from firmware.cuff_line import FULL, PUMP_LEAST, STIFF_PA, Ended
from protocol import frames

STEADY_PA = 267  # 2 mmHg: the sensor's noise, and whoever moves
FILLED_PA = cuff_safety.FILLED_PA
PROOF_PA = 2666  # 20 mmHg
NO_CUFF_US = 16000000
# Blocks of 100 ms: so many at full duty, then at the least, by which the pressure at the pump must fall.
STROKE = 5
PAUSE = 2
HOSE_PA = 67  # 0.5 mmHg
FALL_PA = 200
FALL_US = 800000


async def prove_cuff(line):
    """Leave the cuff at some 15 mmHg with both ways out shut and the interlock armed; Ended when something
    does not work.
    """
    safety = line.safety
    for duty in (FULL, FULL, FULL, FULL, 0):
        safety.unfed(duty)
        await line.block(False)
        _steady(line)
    try:
        safety.begin()
    except cuff_safety.Refused:
        raise Ended(frames.BP_INTERLOCK)
    line.began = line.clock.ticks_us()
    safety.valve(FULL)
    for _ in range(3):
        await line.block()
        _steady(line)
    await _fill(line)
    for valve, release in ((0, 1), (FULL, 0)):
        # What the hose took while the pump turned is no fall.
        for _ in range(2):
            await line.block()
        safety.valve(valve, release)
        await line.falls(FALL_PA, FALL_US)
        safety.valve(FULL)


def _steady(line):
    """A trip and Ended when the pump turns though it should not."""
    if line.pa > STEADY_PA:
        line.safety.trip(cuff_safety.BROKEN)
        raise Ended(frames.BP_INTERLOCK)


async def _fill(line):
    """Pump to PROOF_PA; Ended where there is no cuff, or a sensor that does not see the pump's strokes."""
    safety = line.safety
    began = line.clock.ticks_us()
    before = full = 0
    n = 0
    while line.pa < PROOF_PA:
        place = n % (STROKE + PAUSE)
        n += 1
        filling = line.pa < FILLED_PA
        safety.filled = safety.filled or not filling
        safety.pump(PUMP_LEAST if filling and place >= STROKE else FULL)
        first, before = before, line.pa
        await line.block()
        if line.pa > first + STIFF_PA:
            raise Ended(frames.BP_NO_CUFF)
        if place == STROKE - 1:
            full = line.pa
        elif filling and place == STROKE + PAUSE - 1 and line.pa > full - HOSE_PA:
            raise Ended(frames.BP_NO_CUFF)
        if filling and line.since(began) > NO_CUFF_US:
            raise Ended(frames.BP_NO_CUFF)
    safety.pump(0)
