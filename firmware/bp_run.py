"""One blood-pressure measurement: inflate, listen, deflate slowly, say what was found or why nothing was.

Imported when one begins and forgotten after. The first inflation goes to 170 mmHg, later ones to 30 above the
last systolic; 40 more while pulses are still felt there, less when they vanish before. A result that
movement, an irregular pulse or too low an inflation spoilt is tried once more, after the rest that the
interlock wants.
"""

import asyncio

from firmware import cuff_proof, cuff_safety, interlocks
from firmware.cuff_line import Ended, Line
from firmware.dsp.oscillometry import Oscillometer
from protocol import frames

FIRST_PA = 22665  # 170 mmHg
ABOVE_PA = 4000  # 30 mmHg
MORE_PA = 5333  # 40 mmHg
LEAST_PA = 16000  # 120 mmHg
HIGHEST_PA = 34664  # 260 mmHg
MARGIN_X10 = 80
HOLD_US = 2000000
HOLD_LEAK_PA = 1067
MOST_SWING_PA = 533
SLACK_PA = 5333  # 40 mmHg

AGAIN = (frames.BP_MOTION, frames.BP_IRREGULAR, frames.BP_NO_PULSE)
LOUD = (
    frames.BP_LEAK,
    frames.BP_NO_CUFF,
    frames.BP_TIMEOUT,
    frames.BP_OVER_PRESSURE,
    frames.BP_SENSOR_FAULT,
)


async def run_measurement(feature, wanted, refusal):
    """Do what `wanted` says (as BloodPressure.request kept it) and seal its bp frame; `refusal`: why not."""
    node = feature.node
    clock = node.clock
    _, reason, command_id, cuff_size, _ = wanted
    found = (refusal or frames.BP_CANCELLED, 0, 0, 0, 0, 0, 0)
    flags = peak = 0
    least = LEAST_PA
    began_us = clock.now_us()
    attempts = 0 if refusal else 2
    if attempts and not cuff_size:
        attempts = 0
        found = (frames.BP_NO_CUFF_SIZE, 0, 0, 0, 0, 0, 0)
    while attempts:
        attempts -= 1
        line = None
        try:
            if interlocks.refused(node, interlocks.CUFF):
                raise Ended(frames.BP_INTERLOCK)
            line = Line(feature, feature.number)
            await line.rest()
            began_us = clock.now_us()
            found = await measure(feature, line, least)
            if not found[0] and found[1] + (MARGIN_X10 if attempts else 0) > pa_x10(line.peak):
                # What lies above the highest pressure, or close below, was not seen but guessed.
                found = (frames.BP_NO_PULSE, 0, 0, 0, found[4], 0, 0)
        except Ended as end:
            found = (end.refusal, 0, 0, 0, 0, 0, 0)
        except asyncio.CancelledError:
            # The node ends in order; its cuff is open by now.
            if line is not None:
                peak = line.peak
                line.flush()
            tell(feature, wanted, found, flags, began_us, peak)
            raise
        except Exception:
            if feature.safety.running:
                feature.safety.trip(cuff_safety.BROKEN)
            found = (frames.BP_INTERLOCK, 0, 0, 0, 0, 0, 0)
            tell(feature, wanted, found, flags, began_us, line.peak if line else peak)
            raise
        loud = found[0] in LOUD
        if loud:
            feature.shout()
        else:
            feature.safety.end()
        if line is not None:
            peak = line.peak
            line.listener = None
            line.flush()
            if found[0] != frames.BP_SENSOR_FAULT:
                await emptied(line)
        if loud and not feature.safety.fault:
            node.report(frames.EVENT_SENSOR_FAULT, frames.PRIORITY_MEDIUM, found[0], "cuff: refused")
        if found[0] not in AGAIN:
            break
        if attempts:
            flags = frames.BP_RETRIED
            least = peak + MORE_PA
    tell(feature, wanted, found, flags, began_us, peak)


async def measure(feature, line, least):
    """Oscillometer.result() of one inflation, to `least` or more, and deflation; Ended."""
    await line.take_zero()
    listener = Oscillometer()
    listener.begin(False)
    line.listener = listener
    target = FIRST_PA
    if feature.last:
        target = feature.last[0] * 13332 // 1000 + ABOVE_PA
    target = min(max(target, least), HIGHEST_PA)
    await cuff_proof.prove_cuff(line)
    # Neither the proofs nor the surge of a slack cuff are pulses.
    await line.inflate(SLACK_PA, None)
    listener.begin(False)
    while True:
        await line.inflate(target, listener)
        felt = listener.pulses
        line.swing = min(listener.top, MOST_SWING_PA)
        if await line.hold(HOLD_US) > HOLD_LEAK_PA:
            raise Ended(frames.BP_LEAK)
        if listener.gone or listener.pulses == felt or target >= HIGHEST_PA:
            break
        target = min(target + MORE_PA, HIGHEST_PA)
    listener.begin(True)
    await line.bleed(listener)
    await line.empty()
    for _ in listener.solve():
        await line.turn_over()
    return listener.result()


def pa_x10(pa):
    """0.1 mmHg, not below 0."""
    return max(pa, 0) * 75 // 1000


async def emptied(line):
    """See the cuff empty, whatever ended the run; a hand that presses again does not hurry it."""
    try:
        await line.empty()
    except Ended:
        pass


def tell(feature, wanted, found, flags, began_us, peak):
    """Seal the bp frame, and remember what was measured."""
    _, reason, command_id, cuff_size, _ = wanted
    refusal, systolic, diastolic, mean, pulse, confidence, seen = found
    node = feature.node
    body = {
        frames.BP_RESULT: refusal,
        frames.BP_BEGAN_US: began_us,
        frames.BP_PEAK: pa_x10(peak),
        frames.BP_REASON: reason,
        frames.BP_NUMBER: feature.number,
    }
    if not refusal:
        body[frames.BP_SYSTOLIC] = systolic
        body[frames.BP_DIASTOLIC] = diastolic
        body[frames.BP_MEAN] = mean
        feature.last = (systolic, diastolic, node.clock.now_us(), feature.number)
    if pulse:
        body[frames.BP_PULSE] = pulse
    if confidence:
        body[frames.BP_CONFIDENCE] = confidence
    if cuff_size:
        body[frames.BP_CUFF_SIZE] = cuff_size
    if command_id is not None:
        body[frames.BP_COMMAND] = command_id
    if flags or seen:
        body[frames.BP_FLAGS] = flags | seen
    if feature.source:
        body[frames.SOURCE] = feature.source
    node.drain()
    node.sealer.seal(frames.KIND_BP, body)
    feature.untold = False
