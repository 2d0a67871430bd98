"""`agent run`: the agent under a supervisor that opens a failed store anew, its heart, and its metrics."""

import asyncio
import logging
import os
import signal
import threading
from contextlib import suppress
from typing import Any

from edge_agent.agent import Agent, unix_ms
from edge_agent.backoff import Backoff
from edge_agent.beside import beside
from edge_agent.config import Config, ConfigError
from edge_agent.lock import Locked
from edge_agent.ops.heart import Heart
from edge_agent.ops.measures import Measures
from edge_agent.ops.notify import Notifier
from edge_agent.readable import counted
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from edge_agent.tasks import end

log = logging.getLogger("vitalwire.agent")

LOCK = "agent.lock"
RETRY_STORE_S = 10.0
# A command that found no agent does its work as one, for a second or two.
LOCK_S = 10.0
LOCK_POLL_S = 0.2
# After a damaged store: at first, and when it is no better however often.
AGAIN_FIRST_S, AGAIN_MOST_S = 0.5, 600.0
TELL_S = 5.0
# After so long a stop is no orderly one any more. An end that takes that long waits for a disk that does not
# answer, or for the check of a large store; systemd would end it then, too (TimeoutStopSec).
GIVE_UP_S = 40.0


async def serve(config: Config) -> None:
    """Run the agent until SIGINT or SIGTERM. What cannot be used raises as Agent.run says."""
    for warning in config.warnings:
        log.warning("%s", warning)
    stop = asyncio.Event()
    _on_signals(stop)
    notifier, measures = Notifier(), Measures()
    heart = Heart(notifier, measures.lag)
    service = Service(config, heart, measures)
    server = service.metrics_server()
    last = threading.Timer(GIVE_UP_S, _give_up)
    last.daemon = True
    tasks = [asyncio.create_task(heart.run()), asyncio.create_task(service.tell(notifier))]
    try:
        if server is not None:
            try:
                server.start()
            except OSError as e:
                _already_running(config)
                where = "{}:{}".format(*server.address)
                raise ConfigError(
                    f"[ops] metrics = {where!r}: {e.strerror}", hint="choose another port, or leave it out"
                ) from None
        tasks.append(asyncio.create_task(_say_stopping(stop, notifier, last)))
        await service.supervise(stop)
    finally:
        last.cancel()
        await end(*tasks)
        if server is not None:
            await beside(server.stop)
        notifier.close()


def _already_running(config: Config) -> None:
    """Locked, when the port is taken because this very agent runs: another port would not help."""
    from edge_agent.ops.doctor_machine import holder

    lock = config.state_dir / LOCK
    pid = holder(lock)
    if pid is not None:
        raise Locked(lock, pid or None)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:
            # Windows has no such thing in an event loop.
            signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(stop.set) and None)


def _give_up() -> None:
    """As a power cut, in a thread of its own: the event loop's or the store's may hang."""
    log.error(
        "not at its end %g s after it was told to stop: it ends as by a power cut (does the disk answer? what"
        " was acknowledged is on it)",
        GIVE_UP_S,
    )
    logging.shutdown()
    os._exit(1)


async def _say_stopping(stop: asyncio.Event, notifier: Notifier, last: threading.Timer) -> None:
    await stop.wait()
    last.start()
    notifier.send("STOPPING=1", "STATUS=committing and signing what is in hand")


async def _wait(stop: asyncio.Event, pause_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await stop.wait()


class Service:
    """One agent after the other on one configuration: a store that fails is opened anew."""

    def __init__(self, config: Config, heart: Heart, measures: Measures) -> None:
        self._config = config
        self._heart = heart
        self._measures = measures
        self._agent: Agent | None = None

    async def supervise(self, stop: asyncio.Event) -> None:
        """Run agents until `stop` is set. Locked: another holds the state directory for longer than a
        command takes.
        """
        loop = asyncio.get_running_loop()
        give_up, waiting = loop.time() + LOCK_S, False
        # One that is damaged again and again, and sound whenever it is opened, would be opened for ever.
        again = Backoff(AGAIN_FIRST_S, AGAIN_MOST_S, AGAIN_MOST_S)
        while not stop.is_set():
            again.succeeded()
            self._agent = self._heart.body = Agent(self._config, self._measures)
            try:
                await self._agent.run(stop)
            except Locked as e:
                if loop.time() > give_up:
                    raise
                if not waiting:
                    log.info("%s: waiting %d s, as a command may be at work", e, LOCK_S)
                waiting = True
                await asyncio.sleep(LOCK_POLL_S)
            except StoreCorrupt as e:
                delay_s = again.failed()
                log.error("%s: opening it anew%s", e, f" in {delay_s:.0f} s" if delay_s >= 1 else "")
                await _wait(stop, delay_s)
            except StoreUnwritable as e:
                log.error("%s; trying again in %d s", e, RETRY_STORE_S)
                await _wait(stop, RETRY_STORE_S)

    def latest(self) -> dict[str, Any] | None:
        """The last status of the agent that runs now; for any thread."""
        agent = self._agent
        return None if agent is None else agent.latest

    def metrics_server(self) -> Any:
        """The server of metrics, not started; None when none is configured."""
        address = self._config.ops.metrics
        if address is None:
            return None
        # prometheus_client is loaded only where it is used.
        from edge_agent.ops.health import Health
        from edge_agent.ops.metrics import Metrics
        from edge_agent.ops.metrics_http import MetricsServer

        health = Health(
            self.latest,
            self._heart,
            self._config.storage.min_free_mib << 20,
            self._config.state_dir,
            unix_ms,
        )
        return MetricsServer(address, Metrics(self._measures, self.latest).text, health.report)

    async def tell(self, notifier: Notifier) -> None:
        """Say in a line what goes on, for `systemctl status`, for ever."""
        while True:
            await asyncio.sleep(TELL_S)
            status = self.latest()
            if status is not None and self._heart.ready:
                live = sum(bool(node["live"]) for node in status["nodes"])
                problem = status["store"]["problem"]
                line = f"{counted(live, 'node')} live, {status['frames_per_s']:g} frames/s"
                notifier.send("STATUS=" + (f"{line}; {problem}" if problem else line))
