"""Which radio a boot uses. A board without PSRAM has memory for one at a time: it is given its network over
BLE, and begins another boot with Wi-Fi; where nobody answers there, the next boot is BLE's again.
"""

from firmware.flash import FlashError
from protocol.session_states import STREAMING

WIFI = "wifi"
BLE = "ble"
BOTH = "both"
RADIO_RECORD = "radio"
# The network and its password (firmware/wifi_join.py): nobody reads it over a link.
WIFI_RECORD = "wifi"
# So long a radio may be without an agent before it is the other one's turn.
WIFI_TURN_S = 300
BLE_TURN_S = 900


def mode(config, records):
    """WIFI, BLE or BOTH, for the boot that begins. `config`: the board's; `records`: the node's."""
    if WIFI not in config or BLE not in config:
        return WIFI if WIFI in config else BLE
    if config.get("radio", {}).get("at_once", 1) > 1:
        return BOTH
    try:
        kept = records.read(RADIO_RECORD)
    except FlashError:
        kept = None
    if kept == b"wifi" or (not kept and records.holds(WIFI_RECORD)):
        return WIFI
    return BLE


def cause(records):
    """Why the last boot with Wi-Fi gave its turn away at once, an indication; 0: it did not."""
    try:
        kept = records.read(RADIO_RECORD) or b""
    except FlashError:
        kept = b""
    return kept[3] if len(kept) == 4 and kept[:3] == b"ble" else 0


def switch(node, to, why=0):
    """End this boot in order; the next one uses `to`, and shows `why`. Raises FlashError."""
    node.start.records.write(RADIO_RECORD, to.encode() + (bytes((why,)) if why else b""))
    node.restart()


class Turn:
    """One radio's turn on a board that has them one at a time. `mine`: WIFI or BLE."""

    def __init__(self, node, mine):
        self._node = node
        self._mine = mine
        self._alone_s = 0

    def second(self):
        """Each second: to the other radio where this one has led to nobody for its turn. Without a network
        there is nothing but BLE.
        """
        node = self._node
        self._alone_s = 0 if node.session.state == STREAMING else self._alone_s + 1
        if self._alone_s < (WIFI_TURN_S if self._mine == WIFI else BLE_TURN_S):
            return
        self._alone_s = 0
        if self._mine == WIFI:
            node.careful(switch, node, BLE)
        elif node.start.records.holds(WIFI_RECORD):
            node.careful(switch, node, WIFI)
