"""A TCP connection as one of the node's ports (firmware/links.py)."""

from errno import EAGAIN

READ_MAX = 256
WRITE_MAX = 1024


class TcpPort:
    """`stream`: a connected socket that never waits. `place`: (address, port) of its far end; `heard`: how
    many bytes have come.
    """

    rank = 1

    def __init__(self, stream, place):
        self.stream = stream
        self.place = place
        self.heard = 0

    def read(self):
        """What is there now, b"" for nothing; None: it is over."""
        try:
            data = self.stream.recv(READ_MAX)
        except OSError as error:
            return b"" if error.errno == EAGAIN else None
        self.heard += len(data)
        return data or None

    def write(self, data):
        """Give the connection what it takes; the number of bytes. That it is broken shows when it is read."""
        try:
            return self.stream.send(data[:WRITE_MAX]) or 0
        except OSError:
            return 0

    def close(self):
        """Hang up."""
        self.stream.close()
