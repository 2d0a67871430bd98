"""A boot's first frames, and what goes when it has begun. Loaded for that and forgotten after it."""

from firmware import interlocks
from firmware.alarms import LATCHED_RECORD
from firmware.flash import FlashError
from firmware.sample_clock import SampleClock
from firmware.sampling import Sensor
from firmware.version import VERSION
from firmware.wave import WaveBuffer
from protocol import frames


def first_frames(node):
    """The boot frame, then the events of what went wrong before it, then the sensors."""
    start, board = node.start, node.board
    node.read_input()
    body = {
        frames.BOOT_FIRMWARE: VERSION,
        frames.BOOT_BOARD: board.name,
        frames.BOOT_RESET_CAUSE: board.reset_cause(),
        frames.BOOT_KEYS: start.identity.public(),
        frames.BOOT_CHANNELS: all_channels(node),
        frames.BOOT_ENTROPY: int(start.pool.strong and start.store.strong),
    }
    if node.label is not None:
        body[frames.BOOT_INPUT] = node.label
    if start.record.statement is not None:
        body[frames.BOOT_PREVIOUS] = start.record.statement
    earlier = start.record.earlier()
    if earlier is not None:
        body[frames.BOOT_EARLIER] = earlier
    node.sealer.seal(frames.KIND_BOOT, body, None, True)
    restore_latched(node)
    if node.settings.fault is not None:
        start.faults.append(node.settings.fault)
    for fault in start.faults:
        node.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, fault)
    if node.ecg is not None:
        node.ecg.hold(interlocks.refused(node, interlocks.ECG))
    for sensor in node.sensors:
        if not sensor.held:
            sensor.start(node.clock.now_ms())
    for feature in node.features.values():
        feature.begin()


def restore_latched(node):
    """What nobody had seen when an earlier boot ended is an alarm again; a fault of the cuff keeps it from
    being inflated until somebody has pressed the button.
    """
    records = node.start.records
    cuff = node.features.get("cuff")
    try:
        codes = kept = records.read(LATCHED_RECORD) or b""
    except FlashError as error:
        node.start.faults.append(str(error))
        node.careful(records.set_aside, LATCHED_RECORD)
        kept = b""
        # It may have held that.
        codes = bytes((frames.EVENT_NOT_DEFLATING,)) if cuff is not None else b""
    node.alarms.restore(codes, kept)
    if cuff is not None:
        for code in (frames.EVENT_NOT_DEFLATING, frames.EVENT_OVER_PRESSURE):
            if code in codes:
                cuff.fault = code


def forget_start():
    """Give back what no code needs from here on. A slim build adds what it finds (tools/slim/once.py), not
    the classes that are handed over to be made elsewhere.
    """
    Sensor.__init__ = SampleClock.__init__ = WaveBuffer.__init__ = None  # pyright: ignore


def all_channels(node):
    """What the boot frame says of each waveform: of the sensors, then of the features."""
    found = [
        [channel, sensor.part, sensor.period_ns, sensor.lsb]
        for sensor in node.sensors
        for channel in sensor.channels
    ]
    for feature in node.features.values():
        found += feature.channels()
    return found
