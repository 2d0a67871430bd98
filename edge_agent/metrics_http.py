"""`/metrics` and `/healthz` over HTTP on loopback, in a thread of their own.

So whoever asks slowly, often or never to the end holds up no frame, and an agent whose loop hangs still says
so. Bounded: connections, the request's bytes, the time for all of it; one request a connection.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from edge_agent.config_checks import host_port, is_loopback

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
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Listen. OSError when the address is in use: whoever starts it says so."""
        host, port = self.address
        try:
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._serve, host, port, limit=MAX_REQUEST_BYTES)
            )
        except OSError:
            self._loop.close()
            raise
        self.address = self._server.sockets[0].getsockname()[:2]
        self._thread.start()
        log.info("metrics at http://%s:%d/metrics", *self.address)

    def stop(self) -> None:
        """Close it; returns when its thread has ended, or after a few seconds."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._until_stopped())
        finally:
            self._loop.close()

    async def _until_stopped(self) -> None:
        assert self._server is not None
        await self._stop.wait()
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        # Cancelled connections end in the next turn of the loop.
        await asyncio.sleep(0)

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
