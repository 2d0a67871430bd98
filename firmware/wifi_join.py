"""Joining a Wi-Fi network, and telling failures apart. Loaded for an attempt and forgotten after it.

Status and reason codes: MicroPython ports/esp32/network_wlan.c; ESP-IDF, wifi_err_reason_t. What network.WLAN
says of the last failure is said again at the next attempt until that has an end of its own, so an error
counts only after SETTLE_MS. All the chips have a receiver for 2.4 GHz only: a network on 5 GHz is not heard,
and nothing but its name can tell.
"""

import asyncio

from firmware import indications, radio
from firmware.flash import FlashError
from firmware.requests import forget
from protocol import cbor

POLL_MS = 200
SETTLE_MS = 6000
DEADLINE_MS = 20000
CONNECTING = 1001
NO_AP_FOUND = 201
# The station's own attempts before it gives up and says why.
RECONNECTS = 2
BETTER_DB = 10
AGENT_TRIES = 3
# 4-way handshake and its time-outs, MIC failure, authentication failed or expired: with a password that
# another network has.
PASSWORD_REASONS = (2, 14, 15, 23, 202, 204, 205)

TEXTS = {
    0: "connected",
    indications.HELP: "the network cannot be kept on flash",
    indications.WIFI_PASSWORD: "wrong password",
    indications.WIFI_NOT_FOUND: "network not found: out of reach, misspelt, or 5 GHz only",
    indications.WIFI_5GHZ: "network not found: by its name it is 5 GHz only",
    indications.WIFI_HIDDEN: "network not found; a hidden one is near: is it spelt so?",
    indications.NO_AGENT: "no agent answers in that network",
    indications.WIFI_DHCP: "the network gives no address (DHCP)",
}
MAX_EVENT_TEXT = 64


async def change(wifi, ssid, password):
    """Try another network and keep it; the cause, 0: it is kept. On a board with one radio at a time it is
    only kept, and tried in the next boot.
    """
    tried = wifi.mode != radio.BLE
    cause, text = await attempt(wifi, ssid, password) if tried else (0, None)
    if not cause and wifi.leave_ms:
        cause, text = indications.HELP, "the network was forgotten meanwhile"
    if not cause and wifi.needs_agent and not await _agent_is_there(wifi):
        cause, text = wifi.cause, TEXTS[indications.NO_AGENT]
    if not cause:
        try:
            wifi.node.drain()
            wifi.node.start.records.write(radio.WIFI_RECORD, cbor.dumps([ssid, password, tried]))
            wifi.known = True
        except FlashError:
            cause, text = indications.HELP, TEXTS[indications.HELP]
    if cause and wifi.wlan is not None:
        _leave(wifi.wlan)
    # It is news also where the network before had the same trouble.
    wifi.cause = -1
    wifi.told(cause, text)
    return cause


async def _agent_is_there(wifi):
    """Whether an agent is reached in this network, too; then it is in use."""
    from firmware import wifi_find

    try:
        for _ in range(AGENT_TRIES):
            port = await wifi_find.reach(wifi)
            if port is not None:
                wifi.use(port)
                return True
    finally:
        forget("wifi_find")
    return False


async def again(wifi):
    """Join the network that the node knows; the cause, 0: it is in it."""
    node = wifi.node
    records = node.start.records
    try:
        ssid, password, proven = cbor.loads(records.read(radio.WIFI_RECORD))
    except Exception:
        # Not whole, or gone: it has no network.
        node.careful(records.set_aside, radio.WIFI_RECORD)
        wifi.known = False
        return indications.HELP
    cause, text = await attempt(wifi, ssid, password)
    if wifi.leave_ms:
        _leave(wifi.wlan)
        return indications.HELP
    wifi.told(cause, text)
    if proven:
        return cause
    if not cause:
        node.careful(records.write, radio.WIFI_RECORD, cbor.dumps([ssid, password, True]))
    elif wifi.mode == radio.WIFI:
        # Given over BLE, and wrong: whoever gave it hears so there.
        node.careful(records.remove, radio.WIFI_RECORD)
        node.careful(radio.switch, node, radio.BLE, cause)
    return cause


async def roam(wifi):
    """Where another access point of this network is much stronger, go there."""
    now_dbm = wifi.wlan.status("rssi")
    ssid, password, _ = cbor.loads(wifi.node.start.records.read(radio.WIFI_RECORD))
    for network in await scanned(wifi.wlan) or ():
        if network[0] == ssid.encode() and network[3] >= now_dbm + BETTER_DB:
            await attempt(wifi, ssid, password)
            return


async def scanned(wlan):
    """What wlan.scan() gives, None where it fails. It takes seconds: in a thread, for sensors do not wait."""
    found = []

    def look():
        try:
            found.append(wlan.scan())
        except Exception:
            found.append(None)

    try:
        import _thread

        _thread.start_new_thread(look, ())
    except ImportError:
        look()
    except OSError:
        # No memory for a thread.
        return None
    while not found:
        await asyncio.sleep_ms(POLL_MS)
    return found[0]


async def attempt(wifi, ssid, password):
    """(cause, text): 0 when the node is in that network and has an address."""
    clock = wifi.node.clock
    status = CONNECTING
    try:
        wlan = wifi.on()
        _leave(wlan)
        networks = await scanned(wlan) or ()
        mine = [network for network in networks if network[0] == ssid.encode()]
        # The station takes the first access point that it hears, not the best.
        mine.sort(key=_weakness)
        began_ms = clock.now_ms()
        wlan.config(reconnects=RECONNECTS)
        wlan.connect(ssid, password or None, bssid=mine[0][1] if len(mine) > 1 else None)
        while True:
            await asyncio.sleep_ms(POLL_MS)
            if wlan.isconnected():
                return 0, TEXTS[0]
            status = wlan.status()
            inside = _associated(wlan)
            past_ms = clock.now_ms() - began_ms
            # What was heard in the scan is there, whatever is still said of the last attempt.
            waits = status == CONNECTING or inside or (status == NO_AP_FOUND and mine)
            if past_ms >= (DEADLINE_MS if waits else SETTLE_MS):
                break
        cause, text = _why(ssid, status, inside, mine, networks)
        _leave(wlan)
    except (OSError, RuntimeError, ValueError) as error:
        # RuntimeError: whatever ESP-IDF says that MicroPython has no words for, such as want of memory.
        cause, text = indications.WIFI_NOT_FOUND, "the radio says: %s" % error
    return cause, text[:MAX_EVENT_TEXT]


def _leave(wlan):
    """Be in no network, and try none."""
    try:
        wlan.disconnect()
    except (OSError, RuntimeError):
        pass


def _associated(wlan):
    """Whether an access point has let the station in, with or without an address."""
    try:
        wlan.status("rssi")
    except OSError:
        return False
    return True


def _why(ssid, status, inside, mine, networks):
    if inside:
        cause = indications.WIFI_DHCP
    elif status in PASSWORD_REASONS:
        cause = indications.WIFI_PASSWORD
    elif mine:
        return indications.WIFI_NOT_FOUND, "the access point turns the kit away (reason %d)" % status
    elif "5G" in ssid.upper():
        cause = indications.WIFI_5GHZ
    elif any(not network[0] for network in networks):
        cause = indications.WIFI_HIDDEN
    else:
        cause = indications.WIFI_NOT_FOUND
    return cause, TEXTS[cause]


def _weakness(network):
    return -network[3]
