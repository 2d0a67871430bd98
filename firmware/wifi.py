"""Wi-Fi as a feature of the node: one network, the agent in it, and who may give the node another.

The network and its password lie in a flash record that no link can read. What is seldom done is elsewhere
and loaded for it: joining and telling failures apart (wifi_join), finding the agent (wifi_find), Improv over
the cable (improv_cable).
"""

import asyncio

from firmware import indications, radio
from firmware.requests import forget
from protocol import frames
from protocol.on_demand import forget_module
from protocol.session_states import STREAMING

# How a packet of Improv begins.
IMPROV = b"IMPROV"
LOOK_MS = 250
BUTTON_MS = 150
# After a press of the button, so long may somebody give the node a network.
AUTHORISED_MS = 120000
# A station that has lost its access point finds it again by itself, or does not.
GRACE_MS = 8000
# Without a word from the agent for so long the connection is dead: an agent asks for the time every 10 s at
# the latest, and answers a hello at once.
SILENT_MS = 25000
# So long whoever is there may talk without a session that comes of it; to a node that is nobody's, until a
# person holds its button.
UNANSWERED_MS = 60000
UNCLAIMED_MS = 180000
FIRST_MS = 1000
MOST_MS = 30000
# How often a weak signal is looked at, and what is weak.
ROAM_MS = 60000
WEAK_DBM = -75
MAX_VAIN = 7
# For an answer to leave, before the network or the boot does.
LEAVE_MS = 1500


class Wifi:
    """`online`: whether the network has given the node an address; `joining`: whether one is being tried for
    the first time; `cause`: indications.WIFI_… or NO_AGENT, why it leads nowhere; 0: it does, or there is
    none. `last`: (address, port) at which there was a session last; `vain`: those that were connected to
    since then, and no session came of it, the oldest first; `leave_ms`: when the network is to be left that
    was forgotten, 0: never.
    """

    def __init__(self, node, _):
        self.node = node
        self.mode = radio.mode(node.board.config, node.start.records)
        self.wlan = None
        self.online = self.joining = self.needs_agent = self._led = self._held_down = False
        self.cause = 0
        self.last = None
        self.vain = []
        self.leave_ms = 0
        self.known = node.start.records.holds(radio.WIFI_RECORD)
        alternates = self.mode == radio.WIFI and radio.BLE in node.board.config
        self._turn = radio.Turn(node, radio.WIFI) if alternates else None
        self._asked = self._scan = self._improv = None
        self._address = self._serving = self._port = None
        self._held = b""
        self._pressed_ms = -AUTHORISED_MS
        self._fails = 0
        self._next_ms = self._heard = self._heard_ms = self._led_ms = self._lost_ms = self._roam_ms = 0
        if self.mode == radio.BLE:
            self.cause = radio.cause(node.start.records)
            node.indicate("wifi", self.cause)
        elif self.known:
            try:
                # Here no sensor has to wait for it.
                self.on()
            except Exception:
                # A radio that does not start stops no sensor: run() tries again, and says so.
                pass

    def begin(self):
        """From here on there is a cable to listen to."""
        self.node.link.heard = self.heard

    def channels(self):
        """No waveform."""
        return ()

    def tasks(self):
        """Whatever there is to do with the network, and the button."""
        return (("wifi", self.run), ("button", self._watch))

    def second(self, readings):
        """What passes by itself."""
        if self._turn is not None and not self.joining:
            self._turn.second()

    def stop(self):
        """The connection stays for what is still to be sent."""

    def on(self):
        """The station, switched on."""
        if self.wlan is None:
            import network

            network.hostname(self.node.board.config["wifi"].get("hostname", "vitalwire"))
            self.wlan = network.WLAN(network.STA_IF)
        self.wlan.active(True)
        return self.wlan

    # What others ask

    def authorised(self, cable):
        """Whether somebody may give the node a network: the button was pressed; or the node is nobody's, and
        on the `cable` or just switched on, so that somebody has it in hand.
        """
        now_ms = self.node.clock.now_ms()
        if now_ms - self._pressed_ms < AUTHORISED_MS:
            return True
        return not self.node.start.agents and (cable or now_ms < AUTHORISED_MS)

    def join(self, ssid, password, done=None):
        """Try this network; `done(cause)` hears how that went, 0: the node is in it, and stays. After a
        failure it is back in the one before. False: another one is being tried.
        """
        if self._asked is not None:
            return False
        # An agent that asks over this network must be heard in the other one, too.
        self.needs_agent = done is None and self._port is not None and self.node.link.carries(self._port)
        self.leave_ms = 0
        self._asked = ssid, password, done
        self.joining = True
        self.node.indicate("wifi", indications.PROVISIONING)
        return True

    def leave(self):
        """Forget the network, and leave it when an answer has had time to go. Raises FlashError."""
        self.node.start.records.remove(radio.WIFI_RECORD)
        self.known = False
        self.leave_ms = self.node.clock.now_ms() + LEAVE_MS

    def scan(self, done):
        """`done(networks)` with what network.WLAN.scan() gives; None: not now."""
        if self._scan is not None or self.joining or self.mode == radio.BLE:
            done(None)
        else:
            self._scan = done

    def heard(self, data):
        """What came over the cable, without the packets of an Improv client, which are answered."""
        if self._improv is None:
            if self._held:
                data = self._held + data
                self._held = b""
            if IMPROV not in data:
                # No message of the session ends so.
                for n in range(len(IMPROV) - 1, 0, -1):
                    if data.endswith(IMPROV[:n]):
                        self._held = data[-n:]
                        return data[:-n]
                return data
            from firmware import improv_cable

            self._improv = improv_cable.Client(self)
        return self._improv.take(data)

    def forget_client(self):
        """The Improv client of the cable is gone."""
        self._improv = None
        forget("improv_cable")
        forget("improv")
        forget_module("protocol", "improv")

    def told(self, cause, text=None):
        """Why the network leads nowhere, or 0: an event when that changes, and the light."""
        node = self.node
        if cause != self.cause and text:
            priority = frames.PRIORITY_LOW if cause else frames.PRIORITY_INFO
            node.report(frames.EVENT_NETWORK, priority, cause, text)
        self.cause = cause
        node.indicate("wifi", cause)

    # Tasks

    async def _watch(self):
        """The button; and an Improv client that says no more."""
        while True:
            self._look_at_button()
            if self._improv is not None:
                self._improv.look()
            await asyncio.sleep_ms(BUTTON_MS)

    def _look_at_button(self):
        held = self.node.board.consent()
        if held and not self._held_down:
            # One that sticks is one press.
            self._pressed_ms = self.node.clock.now_ms()
        self._held_down = held

    async def run(self):
        """The network, and the connection to the agent in it."""
        while True:
            await asyncio.sleep_ms(LOOK_MS)
            now_ms = self.node.clock.now_ms()
            if self._asked is not None:
                await self._change()
            elif self._scan is not None:
                await self._look_around()
            elif self.known and self.mode != radio.BLE:
                if self.wlan is None or not self.wlan.isconnected():
                    await self._connect(now_ms)
                else:
                    await self._connected(now_ms)
            elif self.leave_ms and now_ms >= self.leave_ms:
                self.leave_ms = 0
                self._drop()
                self.online = False
                self.told(0)
                if self.wlan is not None:
                    self.wlan.active(False)

    async def _change(self):
        """Try the network that was asked for."""
        ssid, password, done = self._asked  # pyright: ignore[reportGeneralTypeIssues]
        cause = indications.HELP
        try:
            from firmware import wifi_join

            self._drop()
            self.online = False
            cause = await wifi_join.change(self, ssid, password)
            if not cause and self.mode != radio.BLE:
                self._arrived()
        finally:
            forget("wifi_join")
            self._asked = None
            self.joining = False
            self.node.indicate("wifi", max(self.cause, 0))
            self._fails = self._next_ms = 0
            if done is not None:
                done(cause)
        if not cause and self.mode == radio.BLE:
            await asyncio.sleep_ms(LEAVE_MS)
            radio.switch(self.node, radio.WIFI)

    async def _look_around(self):
        done = self._scan
        networks = None
        try:
            from firmware import wifi_join

            networks = await wifi_join.scanned(self.on())
        finally:
            forget("wifi_join")
            self._scan = None
            done(networks)  # pyright: ignore[reportOptionalCall]
            if not self.known:
                self.wlan.active(False)

    async def _connect(self, now_ms):
        """Without a network: wait a little for the station itself, then join again, more and more seldom."""
        if self.online:
            if not self._lost_ms:
                self._lost_ms = now_ms
            if now_ms - self._lost_ms < GRACE_MS:
                return
            # Another pipe may have the session now.
            self._drop()
            self.online = False
            self._next_ms = 0
        self._lost_ms = 0
        if now_ms < self._next_ms:
            return
        try:
            from firmware import wifi_join

            self.on()
            cause = await wifi_join.again(self)
        finally:
            forget("wifi_join")
        if cause:
            self._put_off()

    async def _connected(self, now_ms):
        """In the network: see that the connection is alive, or make one."""
        self._lost_ms = 0
        if not self.online or self.wlan.ifconfig()[0] != self._address:
            # Another address: no connection outlives that.
            self._drop()
            self._arrived()
        link = self.node.link
        if self._port is not None:
            self._look_at_port(now_ms)
        elif now_ms >= self._next_ms and link.wanted(1):
            await self._reach()
        elif not link.wanted(1):
            self.told(0)
        if now_ms >= self._roam_ms:
            await self._roam(now_ms)

    def _look_at_port(self, now_ms):
        """Hang up on an agent that is not needed, or is none any more."""
        port = self._port
        node = self.node
        link = node.link
        if port.heard != self._heard:
            self._heard = port.heard
            self._heard_ms = now_ms
        streams = node.session.state == STREAMING
        if streams and link.carries(port):
            self._led_ms = now_ms
            self._fails = 0
            self._led = True
            self.last = port.place
            self.vain = []
        elif link.stays:
            self._led_ms = now_ms
        patience_ms = UNANSWERED_MS if node.start.agents else UNCLAIMED_MS
        if streams and link.cable:
            self._drop()
        elif now_ms - self._heard_ms > SILENT_MS or now_ms - self._led_ms > patience_ms:
            self._drop()
            self._ended(port)

    def _ended(self, port):
        """The connection is over: when there may be another one. Where it led to no session, again and again,
        that is as good as no answer.
        """
        if not self._led:
            others = [place for place in self.vain if place != port.place]
            self.vain = others[-MAX_VAIN:] + [port.place]
        self._put_off()

    def _arrived(self):
        """In a network, with an address."""
        self.online = True
        self._address = self.wlan.ifconfig()[0]
        self._fails = self._next_ms = 0
        self._roam_ms = self.node.clock.now_ms() + ROAM_MS

    async def _reach(self):
        try:
            from firmware import wifi_find

            port = await wifi_find.reach(self)
        finally:
            forget("wifi_find")
        if port is None:
            self._put_off()
        else:
            self.use(port)

    def use(self, port):
        """Have this connection serve the session."""
        self._port = port
        self._heard = 0
        self._led = False
        self._heard_ms = self._led_ms = self.node.clock.now_ms()
        # No task of the node's: at the orderly end it goes on.
        self._serving = asyncio.create_task(self._serve(port))

    async def _serve(self, port):
        try:
            await self.node.link.serve(port)
        except Exception as error:
            self.node.died("tcp", error)
        finally:
            if port is self._port:
                self._port = self._serving = None
                self._ended(port)

    async def _roam(self, now_ms):
        """To another access point of the network where this one has become weak."""
        self._roam_ms = now_ms + ROAM_MS
        try:
            if self.wlan.status("rssi") >= WEAK_DBM:
                return
        except OSError:
            return
        try:
            from firmware import wifi_join

            self._roam_ms += 4 * ROAM_MS
            await wifi_join.roam(self)
        finally:
            forget("wifi_join")

    def _drop(self):
        """Hang up on the agent."""
        self._port = None
        serving = self._serving
        if serving is not None:
            self._serving = None
            serving.cancel()

    def _put_off(self):
        """The next attempt: after 1 s, 2 s, … and a random part of that again."""
        wait_ms = min(FIRST_MS << self._fails, MOST_MS)
        self._fails = min(self._fails + 1, 5)
        jitter = self.node.start.pool.random(1)[0]
        self._next_ms = self.node.clock.now_ms() + wait_ms + wait_ms * jitter // 256
