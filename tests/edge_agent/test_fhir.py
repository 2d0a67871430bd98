"""The FHIR forwarder at a server that behaves like one: exactly once, whatever it answers."""

import asyncio
import base64
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from edge_agent.cli.forward import dead_letters_group
from edge_agent.config import FhirConfig
from edge_agent.forward import fhir_answers, fhir_worker
from edge_agent.forward.fhir_shelf import retry_file
from edge_agent.store.items import Entry, Frame, Hello
from protocol import batch as wire
from protocol import cbor
from protocol import frames as f
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE
from tests.edge_agent.fakes import FakeNode, Pty, identity
from tests.edge_agent.fhir_kit import ANNA, SECOND
from tests.edge_agent.fhir_world import EPOCH_MS, whole, world
from tests.edge_agent.running import Kit, Running, wait_until
from tests.fhir_server import fhir_server
from tests.services import Authority

OTHER = bytes(range(16, 32))


def test_a_minute_goes_out_once_with_its_evidence(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 120)
        made.settle()
        whole(server, 2)
        assert made.open_batches == [] and made.letters == [] and made.channel.connected
        (proof,) = server.kinds("Provenance")[:1]
        heads = [base64.b64decode(one["data"]) for one in proof["signature"]]
        assert len(heads) == 6 and all(wire.verify_head(head, AGENT.ed_pub) for head in heads)
        targets = {one["reference"] for one in proof["target"]}
        assert (
            targets <= {key for key in server.stored if key.startswith("Observation/")} and len(targets) == 4
        )
        evidence = made.store.db.execute("SELECT receipt FROM receipts ORDER BY batch").fetchall()
        assert len(evidence) == 12 and b'"201 Created"' in evidence[5][0] and b"see" in evidence[0][0]
        assert made.channel.process.starts == 1
        made.restart()
        made.settle()
        whole(server, 2)


def test_nothing_leaves_without_a_person_or_consent_and_the_cursor_goes_on(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.people.persons = {}
        made.vitals(0, 60)
        made.settle()
        made.people.persons, made.people.refused = {NODE.id: ANNA}, {ANNA}
        made.vitals(60, 60)
        made.settle()
        assert server.requests == [] and made.open_batches == []
        assert made.channel.status()["left_out"] == {"unassigned": 60, "no consent": 60}
        made.delivery.people = None
        made.vitals(120, 60)
        made.settle()
        assert server.requests == [] and made.channel.process.starts == 0


def test_what_is_not_now_is_tried_again_and_is_there_once(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 60)

        async def main() -> None:
            for fault in (500, 503, 429, 408, 307, "cut", "garbage", "short", "endless", "cut after"):
                server.faults = [fault]
                began_s = time.monotonic()
                assert not await made.channel.step(), fault
                assert made.channel.problem and made.open_batches and not made.channel.connected
                if fault == 307:
                    assert "sends us elsewhere" in made.channel.problem
                if fault in (503, 429):
                    assert made.channel._due_s >= began_s + 1, "as the server asks"
            assert made.channel.status()["circuit"] == "open"
            assert await made.channel.step() and made.channel.status()["circuit"] == "closed"
            await made.channel.stop()

        asyncio.run(main())
        whole(server)
        assert made.letters == [] and made.channel.problem is None and made.open_batches == []
        assert made.channel.status()["resent"] == 10


def test_what_was_said_counts_once_it_was_taken(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        for seq in range(60):
            made.now_ms = EPOCH_MS + seq * 1000
            made.put(seq + 1, f.KIND_VITALS, seq * SECOND, {8: f.VITALS_LEAD_OFF | f.VITALS_NO_FINGER})
        made.put(61, f.KIND_VITALS, 3600 * 10 * SECOND, {1: 600, 8: 0})
        made.people.handed_over_ms = EPOCH_MS + 3600 * 10_000
        assert made.custody.make()
        server.faults = [503, 503]
        made.settle()
        assert not made.open_batches and made.channel.sent >= 3
        assert len(server.observations("147842")) == len(server.observations("150456")) == 1
        assert made.channel.status()["left_out"] == {"unassigned": 1}


def test_a_clock_that_is_set_back_within_the_minute_counts_nothing_twice(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 50)
        made.settle()
        for seq in range(50, 60):
            made.put(seq + 1, f.KIND_VITALS, seq * SECOND, {1: 600, 3: 974, 4: 601, 5: 210, 8: 0})
        made.now_ms = EPOCH_MS + 30_000
        assert made.custody.make()
        made.settle()
        counts = [one["component"][-1]["valueQuantity"]["value"] for one in server.observations("147842")]
        assert counts == [50, 10]


def test_what_is_refused_for_ever_is_set_apart_and_holds_up_nothing(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 120)

        def no_oxygen(resource):
            codes = [one["code"] for one in resource.get("code", {}).get("coding", ())]
            return (422, "SpO2 is not wanted here") if "150456" in codes else None

        server.refuse = no_oxygen
        made.settle()
        assert [len(server.observations(code)) for code in ("147842", "150456", "149530")] == [2, 0, 2]
        assert made.open_batches == [] and len(made.letters) == 2
        item, reason = made.letters[0]
        assert "150456" in item and "SpO2 is not wanted here" in reason and "422" in reason
        assert made.channel.status()["dead_letters"] == 2
        server.refuse = lambda resource: None
        made.restart()
        config = tmp_path / "agent.toml"
        config.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n')
        without = CliRunner().invoke(dead_letters_group, ["retry", "--config", str(config)])
        assert without.exit_code == 1 and "no [fhir]" in without.output
        config.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n[people]\n[fhir]\nurl = "{server.url}"\n')
        listed = CliRunner().invoke(dead_letters_group, ["list", "--config", str(config)])
        assert listed.exit_code == 0 and "2 dead letters" in listed.output, listed.output
        assert "SpO2 is not wanted here" in listed.output
        asked = CliRunner().invoke(dead_letters_group, ["retry", "--config", str(config)])
        assert asked.exit_code == 0 and "asked for 2 dead letters" in asked.output, asked.output

        async def main() -> None:
            running = asyncio.ensure_future(made.channel.tasks()[0])
            async with asyncio.timeout(60):
                while made.channel.status()["dead_letters"]:
                    await asyncio.sleep(0.02)
            running.cancel()
            await made.channel.stop()

        asyncio.run(main())
        again = CliRunner().invoke(dead_letters_group, ["retry", "--config", str(config)])
        assert again.exit_code == 0 and "nothing to retry" in again.output
        assert not retry_file(tmp_path).exists()
        assert not retry_file(tmp_path).exists()
        assert made.letters == [] and made.channel.status()["dead_letters"] == 0
        whole(server, 2)


def test_a_consent_that_comes_later_sends_what_was_withheld_and_nothing_twice(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        other, refused = identity(9), {OTHER}
        made.store.commit([Hello(other.id, other.ed_pub, other.x_pub, 1, 1)])
        later = BOOT[:-1] + b"\1"
        fit = cbor.dumps([2, other.id, later, 0, EPOCH_MS * 1000, 0, 900])
        made.store.commit([Entry(2, fit, made.now_ms)])
        made.people.persons = {NODE.id: ANNA, other.id: OTHER}
        made.people.refused = refused
        made.custody.withhold = lambda name, rows: {r.id for r in rows if r.node == other.id and refused}
        for seq in range(60):
            made.now_ms = EPOCH_MS + seq * 1000
            body = f.pack(f.KIND_VITALS, seq * SECOND, {1: 700, 8: 0})
            made.store.commit([Frame(other.id, later, seq, body, made.now_ms)])
            made.vitals(seq, 1)
        made.settle()
        assert len(server.kinds("Patient")) == 1 and made.open_batches == []
        refused.clear()

        async def release() -> None:
            await made.delivery._release(made.channel)

        asyncio.run(release())
        assert asyncio.run(made.delivery.batches_after("fhir", 10))
        made.settle()
        assert asyncio.run(made.delivery.batches_after("fhir", 10)) == []
        assert len(server.kinds("Patient")) == 2
        counts = [one["component"][-1]["valueQuantity"]["value"] for one in server.observations("147842")]
        assert counts == [60, 60] and len(server.observations("150456")) == 1


@pytest.mark.parametrize("status", [400, 405])
def test_a_server_that_takes_no_provenance_gets_the_rest(tmp_path, authority, status):
    with world(tmp_path, authority) as (made, server):
        refused = {"Provenance": (status, "no update as create")}
        server.refuse = lambda resource: refused.get(resource["resourceType"])
        made.vitals(0, 60)
        made.settle()
        whole(server)
        assert server.kinds("Provenance") == [] and made.letters == []
        assert made.channel.status()["provenance"] is False


@pytest.mark.parametrize("status", [400, 405, 409])
def test_a_refusal_in_passing_takes_the_provenance_from_nothing(tmp_path, authority, status):
    with world(tmp_path, authority) as (made, server):
        server.faults = [status]
        made.vitals(0, 60)
        made.settle()
        whole(server)
        assert len(server.kinds("Provenance")) >= 1 and made.letters == []
        assert made.channel.status()["provenance"] is True


def test_a_crash_between_the_answer_and_the_cursor_doubles_nothing(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 60)

        async def crash(*_) -> None:
            raise RuntimeError("power cut")

        sound, made.delivery.confirm = made.delivery.confirm, crash
        with pytest.raises(RuntimeError):
            made.settle()
        made.delivery.confirm = sound
        made.restart()
        made.settle()
        whole(server)
        assert server.transactions == 2 and made.open_batches == []


def test_a_token_and_a_client_certificate_are_read_anew(tmp_path, authority):
    token, certificate, key = tmp_path / "token", tmp_path / "crt", tmp_path / "key"
    token.write_text("wrong\n")
    token.chmod(0o600)
    past = datetime.now(UTC) - timedelta(days=1)
    for made_file, place in zip(authority.client("agent", not_after=past), (certificate, key), strict=True):
        shutil.copy(made_file, place)
    files = {"token_file": token, "cert_file": certificate, "cert_key_file": key}
    with world(tmp_path, authority, {"token": "right", "clients": True}, **files) as (made, server):
        made.vitals(0, 60)

        async def main() -> None:
            await made.channel.step()
            assert "expired" in made.channel.problem and "renew" in made.channel.problem
            for made_file, place in zip(authority.client("agent"), (certificate, key), strict=True):
                shutil.copy(made_file, place)
            await made.channel.step()
            assert "token_file" in made.channel.problem and "401" in made.channel.problem
            assert "wrong" not in made.channel.problem
            token.write_text("right\n")
            await made.channel.step()
            assert made.channel.problem is None and made.channel.process.starts == 1
            await made.channel.stop()

        asyncio.run(main())
        whole(server)


def test_a_server_of_an_unknown_authority_gets_nothing(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 60)
        server.certify(Authority(tmp_path / "stranger"))
        made.settle(1)
        assert "ca_file" in made.channel.problem and server.requests == []
        server.certify(authority)
        made.settle()
        whole(server)


def test_a_worker_that_is_killed_is_begun_anew(tmp_path, authority):
    with world(tmp_path, authority) as (made, server):
        made.vitals(0, 60)
        server.faults = [("slow", 30)]

        async def main() -> None:
            step = asyncio.ensure_future(made.channel.step())
            async with asyncio.timeout(60):
                while not server.requests:
                    await asyncio.sleep(0.02)
            os.kill(made.channel.process._process.pid, signal.SIGKILL)
            assert await step is False and "begun anew" in made.channel.problem
            assert await made.channel.step()
            assert made.channel.process.starts == 2
            await made.channel.stop()

        asyncio.run(main())
        assert len(server.observations("147842")) == 1 and made.open_batches == []


def test_a_renewed_certificate_is_taken_although_the_old_one_still_works(tmp_path, authority):
    files = [tmp_path / "crt", tmp_path / "key"]
    config = {"url": "https://127.0.0.1:1", "cert_file": str(files[0]), "cert_key_file": str(files[1])}
    server = fhir_worker.Server({**config, "ca_file": str(authority.ca_file)})

    def issue() -> None:
        for made_file, place in zip(authority.client("agent"), files, strict=True):
            shutil.copy(made_file, place)

    issue()
    first = server._fresh()
    assert server._fresh() is first
    issue()
    assert server._fresh() is not first


def test_what_an_answer_means():
    def answered(status, body=None, **more):
        return {"kind": "answered", "status": status, "body": body, "digest": "00", **more}

    def said(text):
        return {"resourceType": "OperationOutcome", "issue": [{"diagnostics": text}]}

    judge = fhir_answers.judge
    good = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [{"response": {"status": "201"}}],
    }
    assert isinstance(judge(answered(200, good), 1), fhir_answers.Taken)
    assert isinstance(judge(answered(200, good), 2), fhir_answers.Later)
    bad = {**good, "entry": [{"response": {"status": "422"}}]}
    assert isinstance(judge(answered(200, bad), 1), fhir_answers.Later)
    for status in (400, 412, 413, 422):
        refused = judge(answered(status, said("no \ud800\x1b")), 1)
        assert isinstance(refused, fhir_answers.Never) and refused.reason.endswith(r"no \ud800\x1b")
    for status in (301, 401, 403, 404, 405, 408, 409, 410, 415, 429, 500, 502, 503):
        assert isinstance(judge(answered(status, said("no")), 1), fhir_answers.Later)
    proxy = judge(answered(400, None, text="<html>The SSL certificate error\ud800"), 1)
    assert isinstance(proxy, fhir_answers.Later) and "proxy" in proxy.reason and proxy.reason.isprintable()
    assert isinstance(judge(answered(413), 1), fhir_answers.Never)
    assert judge(answered(503, retry_after="120"), 1).wait_s == 120
    wait_s = fhir_answers.wait_s
    assert (
        wait_s("Wed, 21 Oct 2026 07:28:00 GMT", datetime(2026, 10, 21, 7, 27, tzinfo=UTC).timestamp()) == 60
    )
    assert [wait_s(one) for one in (None, "soon", "-1", "9" * 30, "0")] == [0, 0, 0, 3600, 0]
    for broken in ({"entry": 5}, {"entry": [5]}, {"entry": [{"response": 5}]}, {"entry": {}}):
        assert isinstance(judge(answered(200, {**good, **broken}), 1), fhir_answers.Later)
    odd = {"resourceType": "OperationOutcome", "issue": [5, {"details": 5}, {}]}
    assert isinstance(judge(answered(400, odd), 1), fhir_answers.Never)


def test_an_agent_with_a_fhir_server(tmp_path, authority, monkeypatch):
    """From the node to the server: what the node measured is there, about the person whose node it is."""
    monkeypatch.setattr("edge_agent.forward.fhir_shelf.MINUTE_MS", 500)
    monkeypatch.setattr("edge_agent.forward.fhir_shelf.SETTLED_MS", 100)
    monkeypatch.setattr("edge_agent.people.records.People.person_at", lambda people, node, unix_ms: ANNA)
    monkeypatch.setattr("edge_agent.people.records.People.allows", lambda *_: True)
    kit = Kit(tmp_path)
    with fhir_server(authority) as server, FakeNode(Pty(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        kit.options["fhir"] = FhirConfig(server.url, ca_file=authority.ca_file, required=True)
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: len(node.made) > 60, "frames")
            node.making = False
            wait_until(lambda: node.held == 0, "every frame acknowledged")
            wait_until(lambda: kit.totals()["produced"] == kit.totals()["delivered"], "all of it confirmed")
            said = wait_until(lambda: (m := kit.status["forward"]["fhir"])["observations"] and m, "a status")
            assert said["connected"] and said["problem"] is None and said["dead_letters"] == 0
    assert len(server.kinds("Patient")) == 1 and server.observations("147842")
