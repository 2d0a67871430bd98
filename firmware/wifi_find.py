"""Finding the agent in the network, and connecting to it. Loaded for that and forgotten after it.

First where it was last; then whoever answers to multicast DNS and is one of the node's agents (of a node that
is nobody's: whoever answers). Where somebody was there and no session came of it is tried last: another one
may have the agent's address by now, or may say that he has it. Nothing here waits for the network other than
asynchronously.
"""

import asyncio
import socket
from errno import EINPROGRESS

from firmware import indications, mdns
from firmware.requests import forget
from firmware.tcp_port import TcpPort
from protocol.identity import node_id as party_id

POLL_MS = 50
ANSWERS_MS = 2100
# A multicast is sent once and may be lost on the air.
ASK_EVERY = 14
CONNECT_MS = 4000
# Of one answer, and in all: each that is not there takes CONNECT_MS.
MAX_ADDRESSES = 8
MAX_PLACES = 24
MAX_MESSAGE = 1024
# RFC 6761 §6.4: nobody has this name. Who answers for it answers for everybody.
NOBODY = "vitalwire.invalid"
# lwIP's number for it.
_IN_PROGRESS = (EINPROGRESS, 119, 115)


async def reach(wifi):
    """A connected TcpPort, or None; then wifi.told() has heard why."""
    try:
        last = wifi.last
        if last is not None and last not in wifi.vain:
            port = await _connected(last)
            if port is not None:
                wifi.told(0)
                return port
        places = await _found(wifi)
        fresh = [place for place in places if place != last and place not in wifi.vain]
        for place in fresh + [place for place in wifi.vain if place in places]:
            port = await _connected(place)
            if port is not None:
                wifi.told(0)
                return port
        if wifi.cause not in (indications.NO_AGENT, indications.WIFI_PORTAL):
            await _explain(wifi)
        return None
    finally:
        forget("mdns")


async def _explain(wifi):
    if await _answers_for_everybody():
        wifi.told(indications.WIFI_PORTAL, "a login page is in the way (captive portal)")
    else:
        wifi.told(indications.NO_AGENT, "no agent answers in this network")


async def _found(wifi):
    """[(address, port), …] of agents: the node's own."""
    node = wifi.node
    mine = [party_id(pair[0], pair[1]).hex() for pair in node.start.agents]
    number = int.from_bytes(node.start.pool.random(2), "big")
    places = []
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # From this address, so that the question leaves by this interface.
        asker.bind(socket.getaddrinfo(wifi.wlan.ifconfig()[0], 0)[0][-1])
        asker.setblocking(False)
        group = socket.getaddrinfo(mdns.GROUP, mdns.PORT)[0][-1]
        for turn in range(ANSWERS_MS // POLL_MS):
            if turn % ASK_EVERY == 0:
                asker.sendto(mdns.question(number), group)
            await asyncio.sleep_ms(POLL_MS)
            try:
                packet = asker.recv(MAX_MESSAGE)
            except OSError:
                if any(place not in wifi.vain for place in places):
                    break
                continue
            for agent, port, addresses in mdns.agents(packet, number):
                if not mine or agent in mine:
                    for address in nearest(addresses, *wifi.wlan.ifconfig()[:2])[:MAX_ADDRESSES]:
                        if (address, port) not in places and len(places) < MAX_PLACES:
                            places.append((address, port))
    except OSError:
        pass
    finally:
        asker.close()
    return places


def nearest(addresses, own, mask):
    """The addresses of the node's own network first: an agent's machine says all that it has, bridges of its
    containers, too.
    """
    near = []
    for address in addresses:
        if "." in address:
            three = zip(address.split("."), own.split("."), mask.split("."))
            if all([(int(one) ^ int(other)) & int(bits) == 0 for one, other, bits in three]):
                near.append(address)
    return near + [address for address in addresses if address not in near]


async def _connected(place):
    """A TcpPort at (address, port), or None."""
    stream = None
    try:
        found = socket.getaddrinfo(place[0], place[1])[0]
        stream = socket.socket(found[0], socket.SOCK_STREAM)
        stream.setblocking(False)
        try:
            stream.connect(found[-1])
        except OSError as error:
            if error.errno not in _IN_PROGRESS:
                raise
        if await _is_open(stream):
            port = TcpPort(stream, place)
            stream = None
            return port
    except OSError:
        pass
    finally:
        if stream is not None:
            stream.close()
    return None


async def _is_open(stream):
    """Whether it can be written to within CONNECT_MS; one that failed says so as well as one that is open."""
    import select

    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    for _ in range(CONNECT_MS // POLL_MS):
        for _, event in poll.ipoll(0):
            return not event & (select.POLLERR | select.POLLHUP)
        await asyncio.sleep_ms(POLL_MS)
    return False


async def _answers_for_everybody():
    """Whether the network has an address for a name that nobody has: a login page answers in its place."""
    found = []

    def look():
        try:
            found.append(socket.getaddrinfo(NOBODY, 80))
        except Exception:
            found.append(None)

    try:
        import _thread

        _thread.start_new_thread(look, ())
    except ImportError:
        look()
    except OSError:
        # No memory for a thread: it is not known.
        return False
    while not found:
        await asyncio.sleep_ms(POLL_MS)
    return bool(found[0])
