"""Improv Wi-Fi: commands, results and serial packets, in pieces of every size, with anything between."""

from protocol import cobs
from protocol import improv as iw

# improv-wifi.com/serial: MyWirelessAP with mysecurepassword.
SETTINGS = b"\x01\x1e\x0cMyWirelessAP\x10mysecurepassword"


def _refused(action, error):
    try:
        action()
    except iw.ImprovError as e:
        return e.error == error
    return False


def test_the_standards_example():
    assert iw.read_command(SETTINGS, False) == (iw.COMMAND_SETTINGS, SETTINGS[2:])
    assert iw.read_settings(SETTINGS[2:]) == ("MyWirelessAP", "mysecurepassword")


def test_over_ble_with_a_checksum():
    summed = SETTINGS + bytes((iw.checksum(SETTINGS),))
    assert iw.read_command(summed, True)[0] == iw.COMMAND_SETTINGS
    for i in range(len(summed)):
        wrong = bytearray(summed)
        wrong[i] ^= 0x40
        assert _refused(lambda wrong=bytes(wrong): iw.read_command(wrong, True), iw.ERROR_INVALID_RPC)


def test_a_command_cut_at_every_offset():
    for end in range(len(SETTINGS)):
        cut = SETTINGS[:end]
        assert _refused(lambda cut=cut: iw.read_command(cut, False), iw.ERROR_INVALID_RPC)
    for end in range(len(SETTINGS) - 2):
        cut = SETTINGS[2 : 2 + end]
        assert _refused(lambda cut=cut: iw.read_settings(cut), iw.ERROR_INVALID_RPC)


def test_settings_that_no_network_can_have():
    def settings(ssid, password):
        return bytes((len(ssid),)) + ssid + bytes((len(password),)) + password

    assert iw.read_settings(settings(b"open", b"")) == ("open", "")
    assert iw.read_settings(settings(b"x" * 32, b"y" * 64)) == ("x" * 32, "y" * 64)
    for ssid, password in (
        (b"", b"12345678"),
        (b"x" * 33, b""),
        (b"x", b"y" * 65),
        (b"\xff\xfe", b""),
        (b"x", b"12345\xff78"),
        (b"x\0y", b"12345678"),
        (b"x", b"1234567\0"),
    ):
        data = settings(ssid, password)
        assert _refused(lambda data=data: iw.read_settings(data), iw.ERROR_INVALID_RPC)
    assert _refused(lambda: iw.read_settings(settings(b"a", b"b") + b"\x01c"), iw.ERROR_INVALID_RPC)


def test_results():
    assert iw.result(iw.COMMAND_SETTINGS, [], False) == b"\x01\x00"
    texts = [b"Vitalwire", b"1.0", b"esp32", b"kit"]
    body = iw.result(iw.COMMAND_DEVICE, texts, True)
    assert body[-1] == iw.checksum(body[:-1])
    assert iw.strings(body[2:-1]) == texts
    try:
        iw.result(iw.COMMAND_SCAN, [b"x" * 200, b"y" * 60], False)
        raise AssertionError
    except ValueError:
        pass


def test_packets_between_messages_in_pieces_of_every_size():
    message = cobs.encode(b"hello IMPROV\x02 not one")
    one = iw.packet(iw.TYPE_COMMAND, SETTINGS)
    two = iw.packet(iw.TYPE_COMMAND, b"\x02\x00")
    wire = message + one + b"\n" + message + two + b"\n" + message
    for size in (1, 2, 3, 7, 64, len(wire)):
        finder = iw.Finder()
        found = []
        rest = b""
        for at in range(0, len(wire), size):
            some, others = finder.feed(wire[at : at + size])
            found += some
            rest += others
        assert found == [(iw.TYPE_COMMAND, SETTINGS), (iw.TYPE_COMMAND, b"\x02\x00")]
        assert rest == message * 3
        assert not finder.waiting


def test_what_only_begins_like_a_packet_is_given_back():
    finder = iw.Finder()
    assert finder.feed(b"abcIMPRO") == ([], b"abc")
    assert finder.waiting
    assert finder.feed(b"X") == ([], b"IMPROX")
    assert not finder.waiting
    broken = bytearray(iw.packet(iw.TYPE_COMMAND, b"\x02\x00"))
    broken[-1] ^= 1
    assert finder.feed(bytes(broken)) == ([], bytes(broken))
    assert finder.feed(b"IMPROV\x01\x03\xff" + bytes(100)) == ([], b"")
    assert len(finder.give_up()) == 109
    assert finder.feed(b"x") == ([], b"x")


def test_a_finder_keeps_no_more_than_a_packet():
    finder = iw.Finder()
    kept = 0
    for _ in range(400):
        rest = finder.feed(b"IMPROV\x01\x03\xff")[1]
        kept += 9 - len(rest)
        assert kept <= iw.MAX_PACKET + 9
