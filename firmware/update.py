"""Updates of the application over any link: what of it is always in memory (docs/updates.md).

Receiving, checking and the trial of a new version are modules that are loaded while they are wanted.
"""

import sys

from firmware.requests import forget
from protocol import frames
from protocol.checks import is_bytes
from protocol.update import WINDOW

# Without a word about it for so long, what is loaded for receiving is given back.
IDLE_MS = 60000


class Update:
    """`node` is the Node; its board's table `[update]` may have `makers`, the Ed25519 public keys (hex) of
    those whose updates it takes, `trial_s` and `steady_s` (firmware/trial.py).
    """

    def __init__(self, node, driver):
        self._node = node
        self._waiting = []
        self._working = False
        self._receiver = None
        self._heard_ms = 0
        self.trial = None
        path = sys.path[0]
        self.slot = path[-1] if path[:-1].endswith("slot_") else ""
        """The slot that this boot runs, "a" or "b"; "": none, it takes no updates."""

    def begin(self):
        """See whether this version is on trial, or another one was."""
        if not self.slot:
            return
        try:
            from firmware import trial

            self.trial = trial.begun_trial(self._node, self.slot)
        finally:
            forget("trial")

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """A trial does not depend on any other task of the version that is tried."""
        return () if self.trial is None else (("trial", self.trial.run),)

    def second(self, readings):
        """Once a second."""
        if self._receiver is not None and self._node.clock.now_ms() - self._heard_ms > IDLE_MS:
            self.stop()

    def stop(self):
        """What was received stays on flash."""
        if self._receiver is not None and not self._working:
            self._receiver.close_update()
            self._receiver = None
            forget("receiving")

    def take(self, body):
        """An update message of the agent that is connected; False: it is not answered."""
        if len(self._waiting) > WINDOW or not is_bytes(body.get(frames.UPDATE_ID), 8):
            return False
        self._waiting.append(body)
        self._heard_ms = self._node.clock.now_ms()
        if not self._working:
            self._node.link.add_work(self._work_steps())
            self._working = True
        return True

    def _work_steps(self):
        try:
            if self._receiver is None:
                from firmware import receiving

                self._receiver = receiving.Receiver(self._node, self.slot)
            while self._waiting:
                yield from self._receiver.take_steps(self._waiting.pop(0))
        except Exception:
            # What it knows may be no longer what lies on flash.
            if self._receiver is not None:
                self._receiver.close_update()
            raise
        finally:
            self._working = False
