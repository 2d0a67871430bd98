"""Starting Bluetooth: the node's name, its services, what it says of itself to everybody. Loaded once a boot.

Both advertisements have 31 bytes at most, so that every scanner reads them: flags and service data, which has
the service's UUID in it; flags, Improv's UUID and Improv's service data.
"""

import binascii

import bluetooth

from protocol import improv

SERVICE = "b7958137-8244-454d-99b7-0fa3de15d2fb"
WRITTEN = "b7958138-8244-454d-99b7-0fa3de15d2fb"
NOTIFIED = "b7958139-8244-454d-99b7-0fa3de15d2fb"
IMPROV = "00467768-6228-2272-4663-27747826800%d"
IMPROV_DATA = 0x4677
CAPABILITIES = improv.CAPABLE_IDENTIFY | improv.CAPABLE_DEVICE | improv.CAPABLE_SCAN

READ = 0x02
WRITE_NO_RESPONSE = 0x04
WRITE = 0x08
NOTIFY = 0x10

MTU = 247
BUFFER = 512
MOST_NAME = 29
FLAGS = b"\x02\x01\x06"  # found by everybody, no BR/EDR
COMPLETE_UUIDS_128 = 0x07
NAME = 0x09
SERVICE_DATA_16 = 0x16
SERVICE_DATA_128 = 0x21


def started(feature):
    """The stack, with the services of `feature` (firmware/ble.py) in it. Raises OSError."""
    node = feature.node
    node_id = node.start.identity.id
    name = node.board.config["ble"].get("name", "Vitalwire") + " " + node_id.hex()[:4]
    ble = bluetooth.BLE()
    standard = feature.standard = node.features.get("phones")
    phones = [] if standard is None else standard.serve(feature)
    # The stack asks for the keys of phones as it starts.
    ble.irq(feature.interrupt if standard is None else standard.interrupt)
    ble.active(True)
    ble.config(gap_name=name, mtu=MTU)
    services = [service(SERVICE, (WRITTEN, WRITE | WRITE_NO_RESPONSE), (NOTIFIED, NOTIFY))]
    with_improv = "wifi" in node.features
    if with_improv:
        flags = (READ | NOTIFY, READ | NOTIFY, WRITE | WRITE_NO_RESPONSE, READ | NOTIFY, READ)
        services.append(service(IMPROV % 0, *[(IMPROV % (n + 1), flags[n]) for n in range(5)]))
    services += [service(uuid, *characteristics) for uuid, characteristics in phones]
    handles = []
    for group in ble.gatts_register_services(tuple(services)):  # pyright: ignore[reportArgumentType]
        handles += list(group)
    feature.handles = handles
    if standard is not None:
        standard.started(ble, phones, handles[len(handles) - 2 * len(phones) :])
    ble.gatts_set_buffer(handles[0], BUFFER, True)
    feature.own = bytearray(FLAGS + structure(SERVICE_DATA_128, raw(SERVICE) + node_id + b"\0"))
    feature.response = structure(NAME, name.encode()[:MOST_NAME])
    if with_improv:
        ble.gatts_set_buffer(handles[4], BUFFER, True)
        ble.gatts_set_buffer(handles[5], BUFFER)
        ble.gatts_write(handles[3], bytes((improv.ERROR_NONE,)))
        ble.gatts_write(handles[6], bytes((CAPABILITIES,)))
        data = IMPROV_DATA.to_bytes(2, "little") + bytes((0, CAPABILITIES, 0, 0, 0, 0))
        uuids = structure(COMPLETE_UUIDS_128, raw(IMPROV % 0))
        feature.improv = bytearray(FLAGS + uuids + structure(SERVICE_DATA_16, data))
    return ble


def service(uuid, *characteristics):
    """As gatts_register_services() takes it, of pairs of UUID and flags."""
    return bluetooth.UUID(uuid), tuple([(bluetooth.UUID(pair[0]), pair[1]) for pair in characteristics])


def structure(kind, data):
    """Of an advertisement."""
    return bytes((len(data) + 1, kind)) + data


def raw(uuid):
    """The 16 bytes of a UUID, as they are on the air."""
    return bytes(reversed(binascii.unhexlify(uuid.replace("-", ""))))
