"""A complete waveform, channel by channel, as the body of its frame."""

from firmware.dsp import kernels
from protocol import frames, waveform

WAVE_BITS = 18
WAVE_MAX = (1 << (WAVE_BITS - 1)) - 1

if kernels.NATIVE:
    # Nobody calls the pure twin then: what it holds of the heap is given back.
    waveform.predicted = None


def wave_body(sensor, ready, i):
    """The body of the wave frame of channel `i` of a Sensor; `ready`: its Notes on these samples."""
    samples = sensor.wave.samples[i]
    if not ready.halved and max(memoryview(samples)[: ready.n]) > WAVE_MAX:
        # Brighter than any finger: the codec takes one bit less of it.
        for k in range(ready.n):
            samples[k] >>= 1
        ready.halved = True
    body = {
        frames.WAVE_CHANNEL: sensor.channels[i],
        frames.WAVE_COUNT: ready.n,
        frames.WAVE_PERIOD_NS: sensor.period_ns,
        frames.WAVE_LSB: 2 * sensor.lsb if ready.halved else sensor.lsb,
        frames.WAVE_CODEC: waveform.CODEC,
        frames.WAVE_DATA: waveform.encode(samples, ready.n, WAVE_BITS, kernels.wave_predicted),
    }
    if ready.flags:
        body[frames.WAVE_FLAGS] = ready.flags
    if ready.late:
        body[frames.WAVE_LATE] = ready.late
    if ready.missed:
        body[frames.WAVE_MISSED] = ready.missed
    if sensor.source:
        body[frames.SOURCE] = sensor.source
    return body
