"""The FHIR worker as the agent uses it: started when there is something to send, ended when idle or stuck."""

import asyncio
import json
import logging
import struct
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, cast

from edge_agent.config import FhirConfig
from edge_agent.extras import remedy
from edge_agent.forward.fhir_worker import MAX_MESSAGE, WHOLE_S, Json

log = logging.getLogger("vitalwire.fhir")

NEEDS = ("httpx", "fhir")
MODULE = "edge_agent.forward.fhir_worker"
PATIENCE_S = WHOLE_S + 60.0
IDLE_S = 300.0


class WorkerFailed(Exception):
    """The worker ended, or did not answer in time. Nothing is known of the fate of what it was given."""


class FhirProcess:
    """One worker process at most. `starts` counts them."""

    def __init__(self, config: FhirConfig) -> None:
        self.starts = 0
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._killed: list[asyncio.subprocess.Process] = []
        self._idle: asyncio.TimerHandle | None = None

    async def send(self, bundle: Json) -> Json:
        """What the worker says of a bundle: see fhir_worker. WorkerFailed."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            process = await self._running()
            async with asyncio.timeout(PATIENCE_S):
                await _write(process, bundle)
                answer = await _read(process)
        except (OSError, EOFError, ValueError, TimeoutError) as e:
            await self.stop()
            what = f"did not answer within {PATIENCE_S:g} s" if isinstance(e, TimeoutError) else "ended"
            raise WorkerFailed(f"the process that speaks to the FHIR server {what}: it is begun anew") from e
        except asyncio.CancelledError:
            self._kill()
            raise
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._kill)
        return answer

    async def stop(self) -> None:
        """End the process, if there is one; return when it has ended, as have those before it."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._kill()
        while self._killed:
            await self._killed[-1].wait()
            self._killed.pop()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            self._killed = [one for one in self._killed if one.returncode is None] + [process]
            with suppress(ProcessLookupError):
                process.kill()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if any(find_spec(name) is None for name in NEEDS):
            raise WorkerFailed(f"[fhir] needs packages that are not installed: {remedy('fhir')}")
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.starts += 1
        config = self._config
        paths = {key: getattr(config, key) for key in ("token_file", "ca_file", "cert_file", "cert_key_file")}
        named = {key: None if path is None else str(path) for key, path in paths.items()}
        await _write(process, {"url": config.url, **named})
        return process


async def _write(process: asyncio.subprocess.Process, message: Json) -> None:
    assert process.stdin is not None
    data = json.dumps(message, separators=(",", ":")).encode("utf-8")
    process.stdin.write(struct.pack(">I", len(data)) + data)
    await process.stdin.drain()


async def _read(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    (length,) = struct.unpack(">I", await process.stdout.readexactly(4))
    if length > MAX_MESSAGE:
        raise ValueError(f"a message of {length} bytes")
    return cast("dict[str, Any]", json.loads(await process.stdout.readexactly(length)))
