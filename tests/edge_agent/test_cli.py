"""The commands as a person types them, and the agent as a process that gets killed."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent.cli.main import commands
from edge_agent.store.database import connect, open_file
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.store import Frame
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import PATIENCE_S, Broker, Collecting, Kit, Running, wait_until

main = click.Group("vitalwire", commands=commands)
CHILD = (
    "import click, sys; from edge_agent.cli.main import commands; "
    "click.Group('vitalwire', commands=commands)()"
)


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def written(kit: Kit, *ports: str, more: str = "") -> str:
    path = kit.folder / "agent.toml"
    links = "".join(f'[[links]]\nport = "{port}"\n' for port in ports)
    mqtt = ""
    if kit.mqtt is not None:
        mqtt = (
            f'[collector]\npublic = "collector.pub"\n[mqtt]\nurl = "{kit.mqtt.url}"\nreceipt_timeout_s = 1\n'
        )
    path.write_text(f'[agent]\nstate_dir = "{kit.folder}"\n{links}{mqtt}{more}')
    return str(path)


def typed(*words: str, answer: str = ""):
    result = CliRunner().invoke(main, [*words], input=answer)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


class Process:
    """`vitalwire agent run` as a process; its log is in `log`."""

    def __init__(self, config: str, kit: Kit) -> None:
        self.log = kit.folder / "log"
        self._file = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, "agent", "run", "--config", config],
            stdout=self._file,
            stderr=self._file,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(PATIENCE_S) == 0
        self._file.close()
        assert "Traceback" not in self.log.read_text()


def test_keys_are_made_and_shown(tmp_path):
    path = tmp_path / "c.key"
    made = typed("keys", "new", "--role", "collector", str(path))
    assert made.exit_code == 0 and "fingerprint" in made.output and path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in made.output
    for shown in (path, path.with_suffix(".pub")):
        assert typed("keys", "show", str(shown)).output.split()[1:] == made.output.split("\n")[2].split()[1:]
    again = typed("keys", "new", str(path))
    assert again.exit_code == 1 and "never replaced" in again.output


def test_keys_of_everybody(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
    shown = typed("keys", "show", "--config", written(kit)).output
    assert kit.identity.id.hex() in shown and node.identity.id.hex() in shown


@pytest.mark.parametrize("command", ["status", "ledger"])
def test_before_the_first_run(kit, command):
    result = typed(command, "--config", written(kit))
    assert result.exit_code == 1 and "has not run" in result.output


def test_a_mistake_in_the_configuration_is_one_line(kit):
    for command in (["agent", "run"], ["status"], ["ledger"], ["verify"], ["pair", "--port", "x"]):
        result = typed(*command, "--config", written(kit, more="[custdy]\n"))
        assert result.exit_code == 1
        assert result.output.count("\n") == 1 and "line 3" in result.output and "'custody'" in result.output


def test_status_ledger_and_verify_of_a_run(kit, tmp_path):
    with Broker(tmp_path) as broker, FakeNode(Pty(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        far = kit.collect(broker.port)
        config = written(kit, node.pipe.name)
        with Collecting(far, broker.port), Process(config, kit):
            wait_until(lambda: len(far.frames) > 60, "frames at the collector")

            def told() -> bool:
                shown = typed("status", "--config", config)
                words = ("running", "HR 72", "[synthetic]", ": connected")
                return shown.exit_code == 0 and all(word in shown.output for word in words)

            wait_until(told, "the status of an agent in full flow")

            def listed() -> bool:
                raw = json.loads(typed("status", "--config", config, "--json").output)
                return raw["state"] == "running" and raw["nodes"][0]["live"]

            wait_until(listed, "the same for machines")
            node.making = False
            wait_until(lambda: node.held == 0 and kit.totals()["pending"] == 0, "everything delivered")
        ledger = typed("ledger", "--config", config)
        assert ledger.exit_code == 0 and "The ledger balances." in ledger.output
        counted = json.loads(typed("ledger", "--config", config, "--json").output)
        assert counted["totals"]["delivered"] == len(node.made) and counted["balanced"]
        proof = typed("verify", "--config", config)
        assert proof.exit_code == 0 and len(proof.output.splitlines()) >= 6
        assert all(line.startswith("ok ") for line in proof.output.splitlines())
        after = typed("status", "--config", config)
        assert after.exit_code == 1 and "NOT RUNNING" in after.output


def test_verify_and_ledger_fail_loudly(kit):
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 20 and node.held < 5, "frames")
    config = written(kit)
    db = kit.folder / "agent.db"
    with db.open("r+b") as file:
        file.seek(100)
        file.write(b"junk" * 30)
    proof = typed("verify", "--config", config)
    assert proof.exit_code == 1 and proof.output.startswith("FAILED")
    assert typed("ledger", "--config", config).exit_code == 1


def test_kill_9_again_and_again_loses_no_acknowledged_frame(kit, tmp_path):
    # Room for what a busy host keeps it from sending: what a node gives up was never acknowledged.
    roomy = FakeNode(Pty(), agent=kit.identity, rate=100, max_bytes=8_000_000)
    with Broker(tmp_path) as broker, roomy as node:
        kit.pair(node)
        far = kit.collect(broker.port)
        config = written(kit, node.pipe.name)
        with Collecting(far, broker.port):
            for pause in (0.05, 0.4, 0.9):
                with Process(config, kit) as agent:
                    seen = len(far.frames)
                    wait_until(lambda seen=seen: len(far.frames) > seen, "frames at the collector")
                    time.sleep(pause)
                    with node._lock:
                        agent.kill()
                        held = set(node.box.numbers())
                        assert node.box.evicted == 0
                        freed = {key for key in node.made if key[1] not in held}
                    with closing(open_file(kit.folder / "agent.db")) as db:
                        kept = set(
                            db.execute("SELECT b.boot, j.seq FROM journal j JOIN boots b ON b.id = j.boot")
                        )
                    assert freed <= kept
            with Process(config, kit):
                node.making = False
                wait_until(lambda: node.held == 0 and kit.totals()["pending"] == 0, "everything delivered")
            assert {(boot, seq): data for (_, boot, seq), data in far.frames.items()} == node.made
            assert far.duplicates == 0 and len({chain for chain, _ in far.batches}) == 1
    assert typed("verify", "--config", config).exit_code == 0
    assert typed("ledger", "--config", config).exit_code == 0


def test_a_store_that_fails_under_way_is_opened_anew(kit, monkeypatch):
    """Damage at once, a full disk after a pause; what comes from neither ends the command."""
    import asyncio

    from edge_agent import config
    from edge_agent.ops import service
    from edge_agent.store.errors import StoreCorrupt, StoreUnwritable

    path = kit.folder / "agent.db"
    runs = []

    class Failing:
        def __init__(self, config, measures) -> None:
            self.working, self.latest = False, None

        async def run(self, stop) -> None:
            runs.append(len(runs))
            if len(runs) == 1:
                raise StoreCorrupt(path, "malformed")
            if len(runs) == 2:
                raise StoreUnwritable(path, "full")
            stop.set()

    monkeypatch.setattr(service, "Agent", Failing)
    monkeypatch.setattr(service, "RETRY_STORE_S", 0.05)
    asyncio.run(service.serve(config.load(Path(written(kit)))))
    assert runs == [0, 1, 2]


def test_memory_of_a_running_agent(kit, tmp_path):
    """The whole agent, MQTT included, stays below 90 MB."""
    with Broker(tmp_path) as broker, FakeNode(Pty(), agent=kit.identity, rate=60) as node:
        kit.pair(node)
        far = kit.collect(broker.port)
        with Collecting(far, broker.port), Process(written(kit, node.pipe.name), kit) as agent:
            wait_until(lambda: len(far.frames) > 200, "frames at the collector")
            with open(f"/proc/{agent.process.pid}/status") as file:
                peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    print(f"peak resident {peak} KB; this test {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KB")
    assert peak < 90 * 1024


if not os.path.exists("/proc/self/status"):
    test_memory_of_a_running_agent = pytest.mark.skip("reads /proc")(test_memory_of_a_running_agent)


@pytest.mark.parametrize(
    "document",
    ["[]", "{", '{"written_ms": "x"}', '{"written_ms": 1, "state": 5}', '{"written_ms": 1, "links": 3}']
    + ['{"written_ms": 1, "state": "running", "agent": "a", "nodes": {"a": 1}, "links": [null]}'],
)
def test_a_damaged_status_is_called_so(kit, document):
    (kit.folder / "status.json").write_text(document)
    result = typed("status", "--config", written(kit))
    assert result.exit_code == 1 and "damaged" in result.output and result.output.count("\n") == 1


def filled(kit) -> Path:
    path = kit.folder / "agent.db"
    store, _ = open_store(path, kit.identity.id, 1)
    store.commit([Frame(b"node-one", b"\0\0\0\1" + bytes(8), seq, bytes(300), 1) for seq in range(100)])
    store.close()
    return path


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 777)


def blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))


def dangling(path: Path) -> None:
    with closing(connect(path, unlock(path))) as db:
        db.execute("DELETE FROM boots")


def versionless(path: Path) -> None:
    with closing(connect(path, unlock(path))) as db:
        db.execute("PRAGMA user_version = 1900544")


@pytest.mark.parametrize("harm", [cut, blank, dangling, versionless])
def test_the_ledger_of_a_damaged_store_proves_nothing(kit, harm):
    harm(filled(kit))
    result = typed("ledger", "--config", written(kit))
    assert result.exit_code == 1 and "damaged" in result.output and "balances" not in result.output


def test_what_is_in_the_way_is_named_with_the_remedy(kit, tmp_path):
    config = written(kit)
    port = typed("pair", "--config", config, "--port", "/dev/null", "--yes")
    assert port.exit_code == 1 and "not a serial port" in port.output
    (kit.folder / "agent.db").mkdir()
    for command in ("verify", "ledger"):
        found = typed(command, "--config", config)
        assert found.exit_code == 1 and "it is a folder" in found.output
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "bad.toml"
    nowhere.write_text(f'[agent]\nstate_dir = "{tmp_path}/file/deep"\n')
    run = typed("agent", "run", "--config", str(nowhere))
    assert run.exit_code == 1 and "name a folder" in run.output and "Errno" not in run.output
    new = typed("keys", "new", str(tmp_path / "file" / "a.key"))
    assert new.exit_code == 1 and "rights" in new.output and "Errno" not in new.output
