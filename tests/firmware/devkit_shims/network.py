"""A radio that says on stdout when it is switched; $RADIO=dead: it does not start."""

import os

STA_IF = 0


class WLAN:
    def __init__(self, interface):
        if os.getenv("RADIO") == "dead":
            raise OSError("Wifi Unknown Error 0x0101")

    def active(self, on):
        print("radio", on)
