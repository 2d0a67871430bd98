"""The serial link where it is also the interpreter's console: stdin and stdout, 8-bit clean, never waiting.

Reading is byte by byte after a poll: a port's `read(n)` waits until n bytes are there.
"""

import select
import sys

import micropython

READ_MAX = 512


def take_console():
    """No byte of the link is an interrupt from here on."""
    micropython.kbd_intr(-1)


def give_console_back():
    """Ctrl-C works again: a person may want the prompt."""
    micropython.kbd_intr(3)


class StdioLink:
    """`stream` for asyncio to wait on. `chunk`: most bytes given to stdout at once. `rank`: of all ports
    it is the best (firmware/links.py).
    """

    rank = 0

    def __init__(self, chunk):
        self.stream = sys.stdin
        self._chunk = chunk
        self._buffer = bytearray(READ_MAX)
        self._byte = bytearray(1)
        self._in = select.poll()
        self._in.register(sys.stdin, select.POLLIN)
        self._out = select.poll()
        self._out.register(sys.stdout, select.POLLOUT)

    def read(self):
        """What is there now; b"" for nothing, also while the other end is gone."""
        stdin = sys.stdin.buffer
        buffer = self._buffer
        byte = self._byte
        poll = self._in.ipoll
        n = 0
        try:
            while n < READ_MAX:
                event = 0
                for _, event in poll(0):  # noqa: B007 - of one stream there is one event
                    pass
                if not event & select.POLLIN or not stdin.readinto(byte):
                    break
                buffer[n] = byte[0]
                n += 1
        except OSError:
            pass
        return bytes(memoryview(buffer)[:n])

    def write(self, data):
        """Give stdout what it takes without waiting; the number of bytes taken."""
        taken = 0
        while taken < len(data):
            for _, event in self._out.ipoll(0):
                if event & select.POLLOUT:
                    break
            else:
                break
            try:
                n = sys.stdout.buffer.write(data[taken : taken + self._chunk])
            except OSError:
                break
            if not n:
                break
            taken += n
        return taken


class UartConsoleLink(StdioLink):
    """The same over an ESP32's UART0. Its transmit FIFO holds 128 bytes and writing more waits: the fill
    level is reckoned from `baud`.

    `source` has ticks_us, ticks_add and ticks_diff, as MicroPython's time.
    """

    FIFO = 120

    def __init__(self, baud, source):
        super().__init__(self.FIFO)
        self._us_per_byte = 10000000 // baud
        self._source = source
        self._empty_at = source.ticks_us()

    def write(self, data):
        """Give the transmit FIFO what it has room for; the number of bytes taken."""
        now = self._source.ticks_us()
        busy_us = max(self._source.ticks_diff(self._empty_at, now), 0)
        room = min(self.FIFO - busy_us // self._us_per_byte, len(data))
        if room <= 0:
            return 0
        sys.stdout.buffer.write(data[:room])
        self._empty_at = self._source.ticks_add(now, busy_us + room * self._us_per_byte)
        return room
