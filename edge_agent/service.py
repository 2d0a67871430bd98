"""`agent run`: the agent under a supervisor that opens a failed store anew, its heart, and its metrics."""

import asyncio
import logging
import signal
from contextlib import suppress
from typing import Any

from edge_agent.agent import Agent, unix_ms
from edge_agent.config import Config, ConfigError
from edge_agent.heart import Heart
from edge_agent.measures import Measures
from edge_agent.notify import Notifier
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable

log = logging.getLogger("vitalwire.agent")

RETRY_STORE_S = 10.0
TELL_S = 5.0


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
    tasks = [asyncio.create_task(heart.run()), asyncio.create_task(service.tell(notifier))]
    try:
        if server is not None:
            try:
                server.start()
            except OSError as e:
                where = "{}:{}".format(*server.address)
                raise ConfigError(
                    f"[ops] metrics = {where!r}: {e.strerror}", hint="choose another port, or leave it out"
                ) from None
        stopping = asyncio.create_task(_say_stopping(stop, notifier))
        tasks.append(stopping)
        await service.supervise(stop)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is not None:
            await asyncio.to_thread(server.stop)
        notifier.close()


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:
            # Windows has no such thing in an event loop.
            signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(stop.set) and None)


async def _say_stopping(stop: asyncio.Event, notifier: Notifier) -> None:
    await stop.wait()
    notifier.send("STOPPING=1", "STATUS=committing and signing what is in hand")


class Service:
    """One agent after the other on one configuration: a store that fails is opened anew."""

    def __init__(self, config: Config, heart: Heart, measures: Measures) -> None:
        self._config = config
        self._heart = heart
        self._measures = measures
        self._agent: Agent | None = None

    async def supervise(self, stop: asyncio.Event) -> None:
        """Run agents until `stop` is set."""
        while not stop.is_set():
            self._agent = self._heart.body = Agent(self._config, self._measures)
            try:
                await self._agent.run(stop)
            except StoreCorrupt as e:
                log.error("%s: opening it anew", e)
            except StoreUnwritable as e:
                log.error("%s; trying again in %d s", e, RETRY_STORE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_STORE_S):
                        await stop.wait()

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
        from edge_agent.health import Health
        from edge_agent.metrics import Metrics
        from edge_agent.metrics_http import MetricsServer

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
                line = f"{live} nodes live, {status['frames_per_s']:g} frames/s"
                notifier.send("STATUS=" + (f"{line}; {problem}" if problem else line))
