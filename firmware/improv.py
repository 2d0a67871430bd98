"""Improv Wi-Fi on the node (protocol/improv.py), over the serial cable and BLE. Loaded when a client comes.

Whoever has the kit in hand gives it a network: a press of its button lets a client do so for two minutes, and
of a node that is nobody's yet its switching on, and its cable. Everything else may be asked at any time.
"""

from firmware.version import VERSION
from protocol import improv

AUTH_NAMES = ("NO", "WEP", "WPA", "WPA2", "WPA/WPA2", "WPA2", "WPA3", "WPA2/WPA3")
MAX_NETWORKS = 12


class Improv:
    """One client. `wifi`: the node's Wifi feature; `cable`: whether it comes over the serial cable, where
    commands and results have no checksums.

    `say(kind, data)` of command() is given improv.TYPE_STATE, TYPE_ERROR (a byte each) or TYPE_RESULT, at
    once and once more when there is a network, or none.
    """

    CAPABILITIES = improv.CAPABLE_IDENTIFY | improv.CAPABLE_DEVICE | improv.CAPABLE_SCAN

    def __init__(self, wifi, cable):
        self._wifi = wifi
        self._cable = cable

    @property
    def state(self):
        """improv.STATE_…, as it is now."""
        wifi = self._wifi
        if wifi.joining:
            return improv.STATE_PROVISIONING
        if wifi.online:
            return improv.STATE_PROVISIONED
        if wifi.authorised(self._cable):
            return improv.STATE_AUTHORIZED
        return improv.STATE_AUTHORIZATION_REQUIRED

    def command(self, data, say):
        """Carry out an RPC command."""
        try:
            number, body = improv.read_command(data, not self._cable)
            say(improv.TYPE_ERROR, bytes((improv.ERROR_NONE,)))
            self._carry_out(number, body, say)
        except improv.ImprovError as error:
            say(improv.TYPE_ERROR, bytes((error.error,)))

    def _carry_out(self, number, body, say):
        wifi = self._wifi
        if number == improv.COMMAND_SETTINGS:
            self._settings(body, say)
        elif number == improv.COMMAND_STATE and self._cable:
            self._say_state(say)
            if wifi.online:
                self._result(number, (), say)
        elif number == improv.COMMAND_IDENTIFY and not self._cable:
            wifi.node.signals.identify()
        elif number == improv.COMMAND_DEVICE:
            name = wifi.node.board.name.encode()
            serial = wifi.node.start.identity.id.hex()[:8].encode()
            self._result(number, (b"Vitalwire", VERSION.encode(), name, b"Vitalwire " + serial), say)
        elif number == improv.COMMAND_SCAN:
            wifi.scan(lambda networks: self._networks(networks, say))
        else:
            raise improv.ImprovError("a command that is not known", improv.ERROR_UNKNOWN_RPC)

    def _settings(self, body, say):
        wifi = self._wifi
        ssid, password = improv.read_settings(body)
        if not wifi.authorised(self._cable):
            raise improv.ImprovError("the button was not pressed", improv.ERROR_NOT_AUTHORIZED)
        if not wifi.join(ssid, password, lambda cause: self._joined(cause, say)):
            raise improv.ImprovError("another network is being tried", improv.ERROR_UNABLE_TO_CONNECT)
        say(improv.TYPE_STATE, bytes((improv.STATE_PROVISIONING,)))

    def _joined(self, cause, say):
        if cause:
            say(improv.TYPE_ERROR, bytes((improv.ERROR_UNABLE_TO_CONNECT,)))
            self._say_state(say)
        else:
            say(improv.TYPE_STATE, bytes((improv.STATE_PROVISIONED,)))
            self._result(improv.COMMAND_SETTINGS, (), say)

    def _networks(self, networks, say):
        """`networks`: those of a scan, as network.WLAN gives them; None: there can be none now."""
        seen = []
        texts = []
        for network in sorted(networks or (), key=_strength):
            ssid = bytes(network[0])
            if not ssid or ssid in seen or len(seen) == MAX_NETWORKS:
                continue
            seen.append(ssid)
            auth = network[4]
            if self._cable:
                name = "YES" if auth else "NO"
            else:
                name = AUTH_NAMES[auth] if auth < len(AUTH_NAMES) else "WPA2"
            three = (ssid, str(network[3]).encode(), name.encode())
            if self._cable:
                self._result(improv.COMMAND_SCAN, three, say)
            elif sum([len(text) + 1 for text in texts]) + sum([len(text) + 1 for text in three]) < 240:
                texts += three
        # Over a cable the last result is an empty one.
        self._result(improv.COMMAND_SCAN, texts, say)

    def _result(self, number, texts, say):
        say(improv.TYPE_RESULT, improv.result(number, texts, not self._cable))

    def _say_state(self, say):
        say(improv.TYPE_STATE, bytes((self.state,)))


def _strength(network):
    return -network[3]
