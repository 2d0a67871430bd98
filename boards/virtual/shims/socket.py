"""The VM's sockets, with the names and the reach of the rig's network: a captive portal answers for every
name, and nobody else for any; in one whose access point is `alone` nobody is reached.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

from usocket import *  # noqa: F403 - the module itself, but for one function
from usocket import getaddrinfo as _getaddrinfo

_NAMELESS = "0123456789abcdefABCDEF.:"


def getaddrinfo(host, port, *more):
    """As the real one for an address; a name costs OSError -2, or is the portal's."""
    import network

    station = network.WLAN(network.STA_IF)
    point = station._live()
    if point is not None and point["alone"] and host != point["address"]:
        raise OSError(101)
    if any(c not in _NAMELESS for c in host):
        network.note("name " + host)
        if point is None or not station.isconnected() or not point["captive"]:
            raise OSError(-2)
        host = point["address"]
    return _getaddrinfo(host, port, *more)
