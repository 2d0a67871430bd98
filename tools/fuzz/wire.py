"""Targets that need no session: each takes any bytes and gives the outcome as text, or raises."""

from protocol import cbor, cobs, crypto, frame_schema, frames, messages, seal, waveform
from protocol.errors import CodecError
from tools.fuzz.outcome import attempt, expect, shown
from tools.fuzz.parties import Boot, party


class Cbor:
    """Any bytes as one item; with tag 18 where they begin with it."""

    name = "cbor"

    def run(self, data: bytes) -> str:
        """The value, or where and why there is none. What decodes encodes to the same bytes."""
        tag = 18 if data[:1] == b"\xd2" else None
        value, why = attempt(len(data), cbor.loads, data, tag)
        if why:
            expect("@" in why, "a refusal without an offset: " + why)
            return why
        text = shown(value)
        expect((b"\xd2" if tag else b"") + cbor.dumps(value) == data, "it encodes otherwise")
        expect(shown(cbor.loads(data, tag)) == text, "it decodes otherwise the second time")
        return "=" + text


class Cobs:
    """First byte: the sizes of the pieces and the limit. The others: a stream."""

    name = "cobs"

    def run(self, data: bytes) -> str:
        """The messages and counts, which pieces of other sizes give, too; the next message gets through."""
        how = data[0] if data else 0
        stream = data[1:]
        most = 64 if how & 1 else cobs.MAX_ENCODED
        whole = cobs.Decoder(most)
        got = whole.feed(stream)
        pieces = cobs.Decoder(most)
        again = []
        at = 0
        size = 1 + (how >> 1) % 31
        while at < len(stream):
            again += pieces.feed(memoryview(stream)[at : at + size])
            at += size
            size = 1 + (size * 5 + how) % 31
        counts = (whole.malformed, whole.oversize)
        expect(got == again, "other messages in pieces")
        expect(counts == (pieces.malformed, pieces.oversize), "other counts in pieces")
        for message in got:
            expect(cobs.decode(cobs.encode(message)[:-1]) == message, "a message that does not come back")
        whole.feed(b"\0")
        expect(whole.feed(cobs.encode(b"next")) == [b"next"], "the next message is lost")
        for chunk in stream.split(b"\0"):
            _, why = attempt(len(chunk), cobs.decode, chunk)
            expect(not why or "@" in why, "a refusal without an offset")
        return f"={counts[0]} {counts[1]} " + shown(got)


class Cose:
    """First byte: which seal. The others: a sealed message, or (4) a boot header of 64 bytes and more."""

    name = "cose"

    def __init__(self) -> None:
        self._node = party("node")
        self._agent = party("agent")
        self._boot = Boot(self._node, self._agent, 7)
        self._good = self._boot.seal(3, b"sound")

    def run(self, data: bytes) -> str:
        """What opened, or why nothing did; the genuine message opens afterwards."""
        how = data[0] & 3 if data else 0
        rest = data[1:]
        if how == 3:
            steps = seal.unwrap_header_steps(
                rest[:32], rest[32:], self._boot.boot_id, self._agent, self._node.id, self._node.x_pub
            )
            value, why = attempt(len(rest), crypto.run, steps)
            return why or "=" + shown(value)
        keys = seal.BootKeys(self._boot.K, self._boot.boot_id)
        if how == 2:
            found, why = attempt(
                len(rest), seal.Downlink(bytes(32), self._boot.boot_id, bytes(16)).open, rest
            )
        else:
            found, why = attempt(len(rest), keys.open, rest)
            if not why:
                expect(self._boot.seal(found[0], found[1]) == rest, "another envelope opens, too")
        expect(keys.open(self._good) == (3, b"sound"), "the genuine message does not open")
        return why or "=" + shown(found)


class Frames:
    """A plaintext: unpacked, checked against its kind's table, its lane and what is unknown in it."""

    name = "frames"

    def run(self, data: bytes) -> str:
        """The frame, or why it is none. What unpacks packs to the same bytes."""
        frame, why = attempt(len(data), frames.unpack, data)
        if why:
            expect("@" in why, "a refusal without an offset")
            return why
        kind, t_us, body = frame
        expect(cbor.dumps([kind, t_us, body]) == data, "it packs otherwise")
        expect(shown(frames.unpack(data)) == shown(frame), "it unpacks otherwise the second time")
        lane = frames.lane(kind, body)
        expect(lane in (frames.LANE_ALARM, frames.LANE_VITALS, frames.LANE_WAVE), "a lane that there is not")
        samples = ""
        if kind == frames.KIND_WAVE:
            samples = _samples(body[frames.WAVE_DATA], body[frames.WAVE_COUNT])
        return f"={lane} {shown(frame_schema.unknown(kind, body))} {samples} {shown(frame)}"


class Messages:
    """A message before framing: its sort, and as what it parses."""

    name = "messages"

    def run(self, data: bytes) -> str:
        """The fields, or why there are none. A data message is put together again from its parts."""
        sort = messages.sort(data)
        if sort == messages.SORT_DATA:
            parts, why = attempt(len(data), messages.split_data, data)
            if not why:
                expect(messages.data(parts[0], parts[1]) == data, "it is put together otherwise")
            return why or "=" + shown(parts)
        found, why = attempt(len(data), messages.parse_clear, data)
        if why:
            expect("@" in why, "a refusal without an offset")
            _, again = attempt(len(data), messages.parse_hello_body, data)
            return why + " " + again
        expect(sort == messages.SORT_CLEAR, "a clear message that does not look like one")
        expect(cbor.dumps(cbor.loads(data)) == data, "it encodes otherwise")
        expect(shown(messages.parse_clear(data)) == shown(found), "it parses otherwise the second time")
        return "=" + shown(found)


class Waveform:
    """Two bytes: the number of samples. The others: a block."""

    name = "waveform"

    def run(self, data: bytes) -> str:
        """The samples, or why there are none."""
        return _samples(data[2:], int.from_bytes(data[:2], "big"))


def _samples(block: bytes, n: int) -> str:
    """What a block of `n` samples decodes to: within its width, and the same again."""
    try:
        samples = waveform.decode(block, n)
    except CodecError:
        return attempt(len(block), waveform.decode, block, n)[1]
    expect(len(samples) == n, f"{len(samples)} samples where there are {n}")
    half = 1 << (waveform.MAX_BITS - 1)
    expect(min(samples) >= -half and max(samples) < half, "a sample that is too wide")
    expect(
        list(waveform.decode(memoryview(block), n)) == list(samples), "it decodes otherwise the second time"
    )
    return "=" + shown(list(samples))


class Orders:
    """A plaintext as a node reads it, and, if it is an order, what the node would answer."""

    name = "orders"

    def __init__(self) -> None:
        from protocol import orders

        self._orders = orders
        self._node = party("node")
        self._boot_id = Boot(self._node, party("agent"), 7).boot_id
        authority = party("authority")
        self._authorities = {authority.id: authority.ed_pub}

    def run(self, data: bytes) -> str:
        """The result that the answer would carry: a number, whatever the order was."""
        frame, why = attempt(len(data), frames.unpack_down, data)
        if why:
            return why
        kind, _, body = frame
        if kind not in (frames.KIND_COMMAND, frames.KIND_CONFIG, frames.KIND_UPDATE):
            return "=no order"
        steps = self._orders.check_steps(
            self._node.id, self._boot_id, kind, body, 5_000_000, self._authorities
        )
        result, why = attempt(len(data), crypto.run, steps)
        expect(bool(why) or isinstance(result, int), "a result that is no number")
        return why or f"={result}"
