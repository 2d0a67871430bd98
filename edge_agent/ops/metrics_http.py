"""`/metrics` and `/healthz` over HTTP on loopback, in a thread of their own.

So whoever asks slowly, often or never to the end holds up no frame, and an agent whose loop hangs still says
so. Bounded: connections, the request's bytes, the time for all of it; one request a connection.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edge_agent.config.checks import host_port, is_loopback

log = logging.getLogger("vitalwire.metrics")

MAX_CONNECTIONS = 32
MAX_REQUEST_BYTES = 8192
DEADLINE_S = 5.0
STOP_S = 5.0

TEXT = "text/plain; version=0.0.4; charset=utf-8"
REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class MetricsServer:
    """Serves `metrics()` and `health()`, both called in its thread."""

    def __init__(
        self,
        address: tuple[str, int],
        metrics: Callable[[], bytes],
        health: Callable[[], tuple[bool, dict[str, Any]]],
    ) -> None:
        self.address = address
        self._metrics = metrics
        self._health = health
        self._open = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Listen. OSError when the address is in use: whoever starts it says so."""
        host, _ = self.address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Bound here and not in the thread, so that a port in use is an error of the start.
        self._socket = socket.create_server(self.address, family=family)
        self.address = self._socket.getsockname()[:2]
        self._thread.start()
        log.info("metrics at http://%s:%d/metrics", *self.address)

    def stop(self) -> None:
        """Close it; returns when its thread has ended, or after a few seconds."""
        self._stopping = True
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # It has ended by itself.
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        stop = self._stop = asyncio.Event()
        if self._stopping:
            return
        server = await asyncio.start_server(self._serve, sock=self._socket, limit=MAX_REQUEST_BYTES)
        await stop.wait()
        # What is still open ends with the loop, which cancels it.
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(self._answer(await _head(reader)))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= 1
            writer.transport.abort()

    def _answer(self, head: bytes | None) -> bytes:
        if head is None:
            return _response(431, "the request is too large\n")
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(400, "not HTTP/1.1\n")
        if words[0] not in ("GET", "HEAD"):
            return _response(405, "GET or HEAD only\n")
        if not _from_here(lines[1:]):
            return _response(403, "only under a loopback name: a page in a browser has no business here\n")
        body = self._body(words[1].partition("?")[0])
        return body.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if words[0] == "HEAD" else body

    def _body(self, path: str) -> bytes:
        if path == "/metrics":
            return _response(200, self._metrics(), TEXT)
        if path == "/healthz":
            good, report = self._health()
            return _response(200 if good else 503, json.dumps(report, indent=1) + "\n", "application/json")
        return _response(404, "there are /metrics and /healthz\n")


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None


def _from_here(lines: list[str]) -> bool:
    """Whether the request names a loopback host; a name that foreign DNS points at us does not."""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip().lower() == "host":
            host = value.strip()
            named = host_port(host) or host_port(f"{host}:80")
            return named is not None and is_loopback(named[0])
    return False


def _response(code: int, body: str | bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {code} {REASONS[code]}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
