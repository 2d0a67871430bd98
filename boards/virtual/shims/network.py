"""network.WLAN of a virtual node: a station as an ESP32's is, among the access points of its rig.

The rig describes them in the file $VITALWIRE_AIR (boards/virtual/air.py) and may change them at any time.
Times, status codes and what sticks are those of MicroPython's ports/esp32/network_wlan.c and ESP-IDF's
wifi_err_reason_t. Sockets are the VM's own, on the loopback; names are the rig's (socket.py beside this).
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import json
import os
from time import sleep_ms, ticks_diff, ticks_ms

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

_ASSOC_LEAVE = 8
_CONNECTION_FAIL = 205
_ASSOCIATE_MS = 300
_DHCP_MS = 200
_LOOK_MS = 2500
_HANDSHAKE_MS = 1200
_BEACON_MS = 600
_SCAN_MS = 400

_path = os.getenv("VITALWIRE_AIR")
_hostname = "mpy-virtual"


def hostname(name=None):
    """The name that the next connect() gives to the network."""
    global _hostname
    if name is not None:
        _hostname = name
    return _hostname


def points():
    """The access points that there are now."""
    if not _path:
        return []
    with open(_path) as file:
        return json.load(file)


def note(text):
    """For the rig: what the node did."""
    if _path:
        with open(_path + ".log", "a") as file:
            file.write(text + "\n")


class WLAN:
    """The station; all objects are the same one, as on an ESP32."""

    IF_STA = STA_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    _active = False
    _wanted = None
    _reason = 0
    _reconnects = 0
    _tries = 0
    _begun = 0
    _bssid = None
    _gone = None
    _online = False

    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("the virtual node has a station only")

    def active(self, on=None):
        me = WLAN
        if on is not None and bool(on) != me._active:
            me._active = bool(on)
            note("active %d" % me._active)
            if not on:
                me._wanted = me._bssid = None
                me._online = False
        return me._active

    def config(self, name=None, **settings):
        if name == "reconnects":
            return WLAN._reconnects
        if name == "mac":
            return b"\x02\x00\x00\x00\x00\x01"
        for key in settings:
            if key == "reconnects":
                WLAN._reconnects = settings[key]
            elif key != "pm":
                raise ValueError("unknown config param")

    def connect(self, ssid=None, key=None, bssid=None):
        me = WLAN
        if not me._active:
            raise OSError("Wifi Not Started")
        if me._wanted is not None and me._bssid is None:
            raise OSError("Wifi Internal State Error")
        me._wanted = (ssid, key or "", bssid and bssid.hex())
        note("connect %s %s as %s" % (ssid, bssid.hex() if bssid else "any", _hostname))
        me._bssid = None
        me._online = False
        me._tries = 0
        me._begun = ticks_ms()

    def disconnect(self):
        me = WLAN
        if not me._active:
            raise OSError("Wifi Not Started")
        if me._bssid is not None:
            me._reason = _ASSOC_LEAVE
        me._wanted = me._bssid = None
        me._online = False

    def isconnected(self):
        self._live()
        return WLAN._online

    def status(self, what=None):
        me = WLAN
        point = self._live()
        if what == "rssi":
            if point is None:
                raise OSError("Wifi Not Connected")
            return point["rssi"]
        if what is not None:
            raise ValueError("unknown status param")
        if me._online:
            return STAT_GOT_IP
        if me._reason == STAT_NO_AP_FOUND:
            return STAT_NO_AP_FOUND
        if me._reason in (STAT_WRONG_PASSWORD, _CONNECTION_FAIL):
            return STAT_WRONG_PASSWORD
        if me._reason == _ASSOC_LEAVE:
            return STAT_IDLE
        if me._wanted is not None and (not me._reconnects or me._tries < me._reconnects):
            return STAT_CONNECTING
        return me._reason or STAT_IDLE

    def ifconfig(self):
        point = self._live()
        if point is None or not WLAN._online:
            return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")
        address = point["address"]
        return (address, "255.255.255.0", address, address)

    def scan(self):
        if not WLAN._active:
            raise OSError("STA must be active")
        note("scan")
        sleep_ms(_SCAN_MS)
        return [
            (
                b"" if point["hidden"] else point["ssid"].encode(),
                bytes.fromhex(point["bssid"]),
                point["channel"],
                point["rssi"],
                3 if point["password"] else 0,
                False,
            )
            for point in points()
            if _heard(point)
        ]

    def _live(self):
        """Let happen what has happened by now; the access point that it is associated with, or None."""
        me = WLAN
        if me._wanted is None:
            return None
        since = ticks_diff(ticks_ms(), me._begun)
        heard = [point for point in points() if _heard(point) and self._fits(point)]
        if me._bssid is not None:
            for point in heard:
                if point["bssid"] == me._bssid:
                    me._gone = None
                    if not me._online and point["dhcp"] and since >= _DHCP_MS:
                        me._online = True
                        me._reason = 0
                    return point
            if me._gone is None:
                me._gone = ticks_ms()
            if ticks_diff(ticks_ms(), me._gone) < _BEACON_MS:
                return None
            self._failed(STAT_BEACON_TIMEOUT)
            return None
        if me._reconnects and me._tries >= me._reconnects:
            return None
        if not heard:
            if since >= _LOOK_MS:
                self._failed(STAT_NO_AP_FOUND)
            return None
        point = heard[0]
        if point["password"] != me._wanted[1] or point["refuses"]:
            if since >= _HANDSHAKE_MS:
                self._failed(point["refuses"] or 15)
        elif since >= _ASSOCIATE_MS:
            me._bssid = point["bssid"]
            me._gone = None
            me._begun = ticks_ms()
            return point
        return None

    def _fits(self, point):
        ssid, _, bssid = WLAN._wanted
        return point["ssid"] == ssid and (bssid is None or point["bssid"] == bssid)

    def _failed(self, reason):
        me = WLAN
        me._reason = reason
        me._tries += 1
        me._bssid = None
        me._gone = None
        me._online = False
        me._begun = ticks_ms()


def _heard(point):
    """An ESP32 has no receiver for 5 GHz."""
    return point["on"] and point["band"] != 5
