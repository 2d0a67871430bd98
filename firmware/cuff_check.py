"""The two tests of a cuff that a service person orders: for leaks, and of the pressure against a manometer.

Imported when one begins and forgotten after, with firmware/cuff_line.py. Both want the cuff on a rigid
cylinder and a press of the button. What was found is told as a mark: its value in 0.1 mmHg.

Leaks (OP_CUFF_LEAK): at 180 mmHg, after 10 s for the air to cool, what is lost in 20 s, as mmHg a minute; IEC
80601-2-30 allows 6. Static (OP_CUFF_STATIC): the pressure is brought to `level` and held for 20 s; what the
sensor shows every 5 s is to be within 3 mmHg of a reference manometer on the same hose.
"""

from firmware import cuff_proof, interlocks
from firmware.cuff_line import Ended, Line
from protocol import frames

LEAK_PA = 23998  # 180 mmHg
SETTLE_US = 10000000
LEAK_US = 20000000
LEAK_MOST_X10 = 60
STEP_US = 5000000
STEPS = 4
LEVEL_MMHG = 150
LEVELS = (20, 250)


async def run_check(feature, wanted, refusal):
    """Do what `wanted` says (as BloodPressure.request kept it) and mark what came out."""
    operation, _, _, _, level = wanted
    node = feature.node
    line = None
    try:
        if refusal:
            raise Ended(refusal)
        if interlocks.refused(node, interlocks.CUFF):
            raise Ended(frames.BP_INTERLOCK)
        line = Line(feature, 0)
        await line.rest()
        await line.take_zero()
        await cuff_proof.prove_cuff(line)
        if operation == frames.OP_CUFF_LEAK:
            await leak(node, line)
        else:
            await static(node, line, level or LEVEL_MMHG)
    except Ended as end:
        mark(node, "cuff test ended", end.refusal)
    if line is not None:
        feature.safety.end()
        try:
            await line.empty()
        except Ended:
            pass


async def leak(node, line):
    """Mark what is lost in a minute."""
    await line.inflate(LEAK_PA, None)
    await line.hold(SETTLE_US)
    lost_x10 = max(await line.hold(LEAK_US), 0) * 75 // 1000 * 60000000 // LEAK_US
    mark(node, "cuff leak mmHg/min: " + ("good" if lost_x10 <= LEAK_MOST_X10 else "too much"), lost_x10)


async def static(node, line, level):
    """Mark what the sensor shows while the pressure is held."""
    if not LEVELS[0] <= level <= LEVELS[1]:
        raise Ended(frames.BP_CANCELLED)
    await line.inflate(level * 13332 // 100, None)
    for _ in range(STEPS):
        await line.hold(STEP_US)
        mark(node, "cuff pressure mmHg", line.pa * 75 // 1000)


def mark(node, text, value):
    """Tell what a test found."""
    node.report(frames.EVENT_MARK, frames.PRIORITY_INFO, value, text)
