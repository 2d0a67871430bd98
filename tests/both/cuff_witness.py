"""What a test keeps of a cuff's history."""


class Witness:
    """What the judgement needs of the plant's history, which would not fit into a VM's heap."""

    def __init__(self):
        self.highest = 0
        self.pumped_us = -1
        self.pumped_first_us = -1
        self.buzzed = []
        self.longest_us = 0
        self.began_us = None
        self._buzzer = False

    def __len__(self):
        return 0

    def append(self, entry):
        us, mmhg, pump, _, buzzer = entry
        self.highest = max(self.highest, mmhg)
        if pump:
            self.pumped_us = us
            if self.pumped_first_us < 0:
                self.pumped_first_us = us
        if buzzer and not self._buzzer:
            self.buzzed.append(us)
        self._buzzer = buzzer
        if mmhg >= 15 and self.began_us is None:
            # From the start of the inflation, which is before.
            self.began_us = self.pumped_first_us if self.pumped_first_us >= 0 else us
        elif mmhg < 15 and self.began_us is not None:
            self.longest_us = max(self.longest_us, us - self.began_us)
            self.began_us = None
            self.pumped_first_us = -1
