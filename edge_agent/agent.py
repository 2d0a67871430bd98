"""The agent's composition: one event loop, one store thread, two threads a link, one for the broker."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from edge_agent import ending, keys
from edge_agent.beside import beside
from edge_agent.config import AUTO, Config, ConfigError, LinkConfig
from edge_agent.custody.delivery import Delivery, open_custody
from edge_agent.custody.rotation import Rotation
from edge_agent.files import make_folder
from edge_agent.forward.channels import BatchChannel
from edge_agent.links import mdns
from edge_agent.links.ble_absent import BlePool, ble_links
from edge_agent.links.listener import TcpListener
from edge_agent.links.ports import is_url, plugged_in
from edge_agent.links.serial import SerialLink
from edge_agent.lock import hold
from edge_agent.nodes.claims import Claims
from edge_agent.nodes.claims_ends import Ends
from edge_agent.nodes.errand_runner import Runner
from edge_agent.nodes.errands import REOPEN, Errand, Errands
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.ingest import Ingest, Worker
from edge_agent.nodes.kit import Expected
from edge_agent.nodes.networks import Networks
from edge_agent.nodes.peers import Peers
from edge_agent.nodes.sessions import LinkSession
from edge_agent.nodes.wanted import Wanted
from edge_agent.ops.compaction import Compaction
from edge_agent.ops.measures import Measures
from edge_agent.ops.reporting import Reporter
from edge_agent.ops.room import RoomLog
from edge_agent.people.desk import Desk, note_config
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.remote import commands_kept
from edge_agent.remote.authorities import Authorities
from edge_agent.remote.reach import Remote
from edge_agent.standard.devices import Devices
from edge_agent.standard.readers import Readers
from edge_agent.store import database
from edge_agent.store.errors import StoreCorrupt, StoreError, StoreUnwritable
from edge_agent.store.keys import source_of
from edge_agent.store.opening import open_store
from edge_agent.store.patrol import Patrol
from edge_agent.store.retention import Keeper, Limits
from edge_agent.store.rows import JournalRow
from edge_agent.updates.desk import UpdateDesk
from edge_agent.updates.service import Updates

log = logging.getLogger("vitalwire.agent")

TICK_S = 0.05
LOOK_FOR_PORTS_S = 2.0
ERRANDS_S = 0.25
ROOM_EVERY_S = 10.0
PATROL_EVERY_S = 4.0
STATE_DIR_HINT = "name a folder that this user may write to"


def unix_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Agent:
    """One run of the agent, from opening the store to closing it.

    `latest`: its last status; `working`: whether the store is open and everything runs. `quiet`: it opens no
    link and sends nothing, but does what it is asked; who is to have what stays as it is configured.
    """

    def __init__(self, config: Config, measures: Measures | None = None, quiet: bool = False) -> None:
        self.config = config
        self.quiet = quiet
        self.measures = measures or Measures()
        self.working = False
        self.reporter = Reporter(self)
        self.started_ms = unix_ms()
        self.links: dict[str, SerialLink] = {}
        self.sessions: dict[str, LinkSession] = {}
        self.tcp: TcpListener[LinkSession] | None = None
        self.ble: BlePool | None = None
        self.worker = Worker()
        self._lock: BinaryIO | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set.

        ConfigError, KeyFileError, PeersError, Locked, StoreError: it cannot; each says what to do.
        """
        folder = self.config.state_dir
        try:
            make_folder(folder)
            self._lock = hold(folder / "agent.lock")
        except OSError as e:
            raise ConfigError(f"state_dir {folder}: {e.strerror}", hint=STATE_DIR_HINT) from None
        try:
            await self._open()
            try:
                await self._work(stop)
            except database.Error as e:
                raise self.store.named(e) from e
            finally:
                await self.worker.run(self.store.close)
        finally:
            self.worker.close()
            self._lock.close()

    async def _open(self) -> None:
        config = self.config
        fresh = not config.key.exists()
        self.identity = keys.load_or_create(config.key, "agent")
        if fresh:
            log.info("made the agent's keys: %s", config.key)
        log.info("agent %s", self.identity.id.hex())
        self.peers = Peers(config.peers)
        self.paired = set(self.peers.ids())
        self.store, self.opening = await self.worker.run(
            open_store, config.store, self.identity.id, unix_ms(), source_of(config)
        )
        if self.opening.message:
            log.error("%s", self.opening.message)
        try:
            self.people = await self.worker.run(
                People,
                self.store,
                Operators(config.operators),
                config.people.consent,
                Peers(config.peers),
            )
            await self.worker.run(note_config, self.store, config, unix_ms())
            custody = await self.worker.run(
                open_custody, config, self.store, self.identity, unix_ms, self._withhold
            )
        except (StoreError, keys.KeyFileError):
            await self.worker.run(self.store.close)
            raise
        self.store.fsync = self.measures.fsync
        self.ingest = Ingest(self.store, self.worker, config.commit_ms, self.measures.commit)
        self.hub = Hub(self.identity, self.peers, self.ingest, self.store.hellos, self.store.counters)
        errands = self.errands = Errands(config.errands)
        self.runner = Runner(errands, self.hub.orders, self.peers, self._drop, unix_ms)
        by_button = config.claim == "button"
        self.claims = Claims(self.hub, errands, Expected(config.expected), by_button, unix_ms)
        self.ends = Ends(self.hub, errands, unix_ms)
        self.hub.claims, self.hub.ends = self.claims, self.ends
        self.readers = Readers(self.hub, Devices(config.state_dir))
        self.rotation = Rotation(errands, self.worker, custody, unix_ms)
        kept = config.storage
        limits = Limits(kept.quota_mib, kept.retention_days, kept.wave_days, kept.min_free_mib)
        alone = config.mqtt is None and config.file is None and config.fhir is None
        self.keeper = Keeper(self.store, limits, alone)
        self.patrol = Patrol(self.store)
        self.compaction = Compaction(errands, self.worker, self.store, unix_ms)
        self.delivery = Delivery(config, custody, self.worker, self.ingest, self.identity.id, self.quiet)
        self.delivery.people = self.people
        changed = self.delivery.consent_changed
        loop = asyncio.get_running_loop()

        def forget() -> None:
            custody.forget()
            loop.call_soon_threadsafe(self._forget_shown)

        self.desk = Desk(errands, self.worker, self.store, self.people, unix_ms, changed, forget)
        self.remote = Remote(
            Authorities(config.authorities),
            self.hub,
            self.store,
            self.worker,
            await self.worker.run(commands_kept.load, self.store),
            lambda: custody.signing,
            (kept.alarm_strip_before_s, kept.alarm_strip_after_s),
        )
        self.remote.person_at = self.people.person_at
        self.updates = Updates(config, self.hub, unix_ms)
        self.update_desk = UpdateDesk(errands, self.updates)
        self.networks = Networks(self.hub, errands, self.identity, unix_ms)
        await self.updates.load(self.worker, self.store)
        mqtt = self.delivery.channel("mqtt")
        if isinstance(mqtt, BatchChannel):
            self.remote.by_broker(mqtt.outlet)

    async def _work(self, stop: asyncio.Event) -> None:
        forever: list[Coroutine[Any, Any, None]] = [
            self.ingest.run(),
            *self.delivery.tasks(),
            self._tick(),
            self._errands(),
            self._keep_room(),
            self._look_for_damage(),
            self.desk.run(),
            self.updates.run(),
            self._report(),
        ]
        if not self.quiet:
            forever.append(self.readers.run())
        for link in () if self.quiet else self.config.links:
            if link.port == AUTO:
                forever.append(self._look_for_ports(link))
            else:
                self._add_link(link)
        if self.config.tcp is not None and not self.quiet:
            self.tcp = TcpListener(
                self.config.tcp, self._connected, self.hub.reject, lambda: self.ingest.standing
            )
            forever.append(self.tcp.run())
            advert = mdns.advert(self.identity.id, self.tcp)
            if advert is not None:
                forever.append(advert.run())
        if self.config.ble is not None and not self.quiet:
            self.ble = ble_links(self.config.ble, Wanted(self.hub, self.claims), self._connected)
            forever.append(self.ble.run())
        tasks = [asyncio.create_task(work) for work in forever]
        stopped = asyncio.create_task(stop.wait())
        self.working = True
        try:
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await ending.finish(self)
        finally:
            await ending.leave(self, stopped, *tasks)

    # Links

    def _connected(self, name: str) -> LinkSession:
        return LinkSession(self.hub, name)

    @property
    def all_sessions(self) -> list[LinkSession]:
        """Of every serial port and every connection."""
        pools = [pool for pool in (self.tcp, self.ble) if pool is not None]
        return [*self.sessions.values(), *(owner for pool in pools for owner in pool.owners.values())]

    def _add_link(self, config: LinkConfig) -> None:
        session = LinkSession(self.hub, config.port, not is_url(config.port))
        link = SerialLink(config, session)
        self.sessions[config.port] = session
        self.links[config.port] = link
        link.start()

    async def _look_for_ports(self, pattern: LinkConfig) -> None:
        """Take every USB serial port that appears; one that disappears is waited for like any other."""
        while True:
            for port in await beside(plugged_in):
                if port not in self.links:
                    log.info("found a USB serial port: %s", port)
                    self._add_link(LinkConfig(port, pattern.baud))
            await asyncio.sleep(LOOK_FOR_PORTS_S)

    async def _tick(self) -> None:
        while True:
            self.hub.tick()
            self.delivery.tick()
            self.updates.courses.tick()
            await asyncio.sleep(TICK_S)

    async def _keep_room(self) -> None:
        """Make room, a batch at a time so that commits come between; write down what the ledger needs."""
        room = RoomLog(self.keeper)
        while True:
            await asyncio.sleep(ROOM_EVERY_S)
            # What the disk refuses now is done later; what is refused of commits is said.
            with suppress(StoreUnwritable):
                if len(self.store.uncharted):
                    await self.worker.run(self.store.checkpoint)
                try:
                    while await self.worker.run(self.keeper.step, unix_ms()):
                        pass
                finally:
                    room.after_pass()

    async def _look_for_damage(self) -> None:
        """Read what is kept, a little at a time. StoreCorrupt ends it: the store has to be opened anew."""
        said = ""
        while True:
            await asyncio.sleep(PATROL_EVERY_S)
            try:
                await self.worker.run(self.patrol.step)
            except StoreUnwritable as e:
                if str(e) != said:
                    log.warning("what is kept cannot be read through: %s", e)
                said = str(e)

    async def _errands(self) -> None:
        """What commands want of this agent; and what nodes are to be asked to spare it."""
        while True:
            self.hub.orders.tick()
            self.runner.step()
            self.claims.step(self.runner.others)
            self.ends.step(self.all_sessions)
            self.desk.step(self.runner.others)
            self.rotation.step(self.runner.others)
            self.compaction.step(self.runner.others)
            self.remote.step(self.errands, self.runner.others)
            self.update_desk.step(self.runner.others)
            self.networks.step(self.runner.others)
            self._reopen(self.runner.others)
            ingest, flow = self.ingest, self.hub.flow
            before = flow.level
            changed = flow.judge(time.monotonic(), ingest.backlog, ingest.problem is not None) != before
            if changed:
                log.warning("nodes are asked: %s", flow.level.name)
            if changed or self.hub.orders.open:
                for session in self.all_sessions:
                    session.instruct()
            await asyncio.sleep(ERRANDS_S)

    def _reopen(self, waiting: Sequence[Errand]) -> None:
        """A command has found the store damaged: StoreCorrupt, so that it is opened anew, which judges it."""
        for errand in waiting:
            if errand.what == REOPEN:
                with suppress(OSError):
                    self.errands.take_back(errand)
                raise StoreCorrupt(self.store.path, "a command found it damaged")

    def _forget_shown(self) -> None:
        """Of nodes that were an erased person's and are nobody's now."""
        state = self.people.state
        for node, view in self.hub.views.items():
            gone = any(state.erased_at(person) is not None for person in state.persons_of(node))
            if gone and state.person_at(node, unix_ms()) is None:
                view.forget()

    def _withhold(self, forwarder: str, rows: Sequence[JournalRow]) -> set[int]:
        return self.people.withholds(forwarder, rows, unix_ms())

    def _drop(self, node: bytes) -> None:
        for session in self.all_sessions:
            session.drop(node)

    # Status

    async def _report(self) -> None:
        while True:
            self.hub.keep_counts()
            await self.worker.run(self.store.check)
            await self.reporter.write("running")
            await asyncio.sleep(self.reporter.pause_s)

    @property
    def latest(self) -> dict[str, Any] | None:
        """The last status."""
        return self.reporter.latest

    async def probe(self) -> None:
        """Return when the store's thread has done what it was given before."""
        await self.worker.run(int)
