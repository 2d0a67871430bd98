"""What config orders have changed of the node, kept in a flash record; firmware/orders.py checks them."""

from firmware.alarm_rules import rule_of
from firmware.flash import FlashError
from firmware.requests import forget
from protocol import cbor, frames

RECORDS = ("settings", "settings-b")


class Settings:
    """`records`: the node's flash records; `mains_hz`: the board's, until an order says another.

    `mode`: frames.MODE_…; `levels`: rule of alarm_rules.RULES → (limit, delay in s), of those that were set;
    `not_sent`: channels; `cuff_size`: frames.CUFF_…; `fault`: text on a damaged record, or None. They lie in
    two places. Where neither can be read, the node may have watched somebody: so it does (docs/alarms.md).
    """

    def __init__(self, records, mains_hz=50):
        self.records = records
        self.fault = None
        self.mains_hz = mains_hz
        self.mode = frames.MODE_SPOT_CHECK
        self.levels = {}
        self.not_sent = []
        self.cuff_size = frames.CUFF_UNKNOWN
        whole = None
        copies = []
        for name in RECORDS:
            payload = None
            try:
                payload = records.read(name)
                if whole is None and payload is not None:
                    self.take(cbor.loads(payload))
                    whole = payload
            except Exception as error:
                # Whatever a record holds, the node starts.
                self.fault = str(error) or "settings: %s" % type(error).__name__
            copies.append(payload)
        if whole is None:
            if self.fault is not None:
                # Both stay as they are, so that each start says so until an order writes them anew.
                self.fault += "; watch mode, default limits"
                self.mode = frames.MODE_WATCH
                self.levels = {}
            return
        if self.fault is not None:
            self.fault += "; its copy holds"
        if copies[0] != copies[1]:
            # One is damaged, or a cut came between the two.
            try:
                self.keep({})
            except FlashError:
                pass

    def take(self, kept):
        """The settings of a kept map hold from now on."""
        self.mains_hz = kept.get(frames.SET_MAINS_HZ, self.mains_hz)
        self.mode = kept.get(frames.SET_MODE, self.mode)
        if self.mode not in (frames.MODE_SPOT_CHECK, frames.MODE_WATCH):
            raise ValueError("settings: no such mode")
        self.not_sent = kept.get(frames.SET_NOT_SENT, self.not_sent)
        self.cuff_size = kept.get(frames.SET_CUFF_SIZE, self.cuff_size)
        for code, limit, delay_s in kept.get(frames.SET_LIMITS, ()):
            rule = rule_of(code, limit)
            if rule >= 0:
                self.levels[rule] = (limit, delay_s)

    def keep(self, changed):
        """Put these settings of a config order on flash with the others, then have them hold. Raises
        FlashError: nothing has changed.
        """
        try:
            from firmware import configured

            configured.keep_settings(self, changed)
        finally:
            forget("configured")
