"""Settings that a config order has changed onto flash. Loaded for it, and to mend a copy."""

from firmware.alarm_rules import CAUSE, CAUSES, RULES, rule_of
from firmware.flash import FlashError
from firmware.settings import RECORDS
from protocol import cbor, frames


def keep_settings(settings, changed):
    """Settings.keep."""
    levels = settings.levels.copy()
    for code, limit, delay_s in changed.get(frames.SET_LIMITS, ()):
        levels[rule_of(code, limit)] = (limit, delay_s)
    kept = {
        frames.SET_MAINS_HZ: settings.mains_hz,
        frames.SET_MODE: settings.mode,
        frames.SET_NOT_SENT: settings.not_sent,
        frames.SET_CUFF_SIZE: settings.cuff_size,
    }
    kept.update(changed)
    kept[frames.SET_LIMITS] = [
        [CAUSES[RULES[rule][CAUSE]], levels[rule][0], levels[rule][1]] for rule in sorted(levels)
    ]
    payload = cbor.dumps(kept)
    settings.records.write(RECORDS[0], payload)
    settings.take(kept)
    try:
        settings.records.write(RECORDS[1], payload)
    except FlashError:
        # The first is read first. The next start tries again.
        pass
