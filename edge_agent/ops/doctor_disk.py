"""The doctor's checks of what lies on the disk: the folder, its speed, keys, the store, limits."""

import os
import statistics
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_agent import keys
from edge_agent.custody import clones
from edge_agent.custody.signing import signing_path
from edge_agent.files import ExposedError, read_secret
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.ops import machine
from edge_agent.ops.doctor import Check, Found, Patient, bad, good, warn
from edge_agent.people.operators import Operators
from edge_agent.readable import counted, is_are, utc
from edge_agent.remote.authorities import Authorities, AuthoritiesError
from edge_agent.store import database
from edge_agent.store.errors import StoreError
from edge_agent.store.keys import source_of

SLOW_MS, STOPS_MS = 20.0, 500.0
# No disk is durable so fast: a cache answers, which may or may not survive a power cut.
TOO_FAST_MS = 0.05
DAY_MS = 86_400_000
# With less than that, a day's outage of the far end costs data.
SHORT_DAYS = 3.0


def folder(patient: Patient) -> Found:
    """The state directory: there, ours, nobody else's, with room."""
    path = patient.config.state_dir
    if not path.exists():
        parent = next(one for one in path.absolute().parents if one.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            yield bad(
                f"{path} cannot be made: {parent} is not this user's",
                f"sudo install -d -o $USER -m 700 {path}",
            )
            return
        yield good(f"{path} will be made at the first start")
    elif not path.is_dir():
        yield bad(f"{path} is no folder", "move it away, or name another [agent] state_dir")
        return
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield bad(
            f"{path} is not this user's to write to", f"sudo chown -R $USER {path}, or be the agent's user"
        )
        return
    else:
        mode = path.stat().st_mode & 0o777
        if os.name == "posix" and mode & 0o077:
            yield warn(f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")
        else:
            yield good(str(path))
    free, least = machine.free_bytes(path), patient.config.storage.min_free_mib << 20
    if free is not None and free < least:
        yield bad(
            f"{free >> 20} MiB free, and min_free_mib is {least >> 20}: what is delivered goes to make room",
            "make room",
        )
    elif free is not None:
        yield good(f"{free >> 20} MiB free")


def disk(patient: Patient) -> Found:
    """What the disk promises of what was written, and how long it takes."""
    path = patient.config.state_dir
    mount = machine.mount_of(path)
    if mount is not None and mount.kind in machine.VOLATILE:
        yield warn(
            f"{path} lies on {mount.kind}: after a power cut, or with its container, all is gone",
            "put state_dir on a real disk (of a container: on a volume)",
        )
    if mount is not None and mount.kind in machine.FAR:
        yield bad(
            f"{path} lies on {mount.kind}, where locks and fsync do not hold", "put state_dir on a local disk"
        )
        return
    if mount is not None and "nobarrier" in mount.options.split(","):
        yield warn(
            f"{mount.point} is mounted with nobarrier: a power cut may tear the store", "mount it without"
        )
    if not path.is_dir() or not os.access(path, os.W_OK):
        return
    try:
        took = machine.fsync_ms(path)
    except OSError as e:
        yield bad(f"writing to {path} fails: {e.strerror}", "see the disk: dmesg")
        return
    median = statistics.median(took)
    said = f"fsync takes {median:.2g} ms, at most {took[-1]:.2g} ms ({1000 / median:.0f} a second)"
    if median > STOPS_MS:
        yield bad(said, "that disk is failing, or is a worn card: replace it")
    elif median > SLOW_MS:
        yield warn(said + ": many nodes will be asked to slow down", "an SSD, or an industrial card")
    elif median < TOO_FAST_MS:
        yield warn(
            said + ": a cache answers, not the disk",
            "check that its cache survives a power cut, or switch it off",
        )
    else:
        yield good(said)


def secrets(patient: Patient) -> Found:
    """Files that hold secrets: readable for us, and for nobody else; those of others can be read."""
    config = patient.config
    if config.key.exists():
        try:
            identity = keys.load(config.key)
            yield good(f"{config.key}: agent {identity.id.hex()}")
        except keys.KeyFileError as e:
            yield bad(str(e), "the remedy is in brackets; without it nothing starts")
    elif keys.public_path(config.key).exists() or config.store.exists():
        yield bad(
            f"{config.key} is not here, and this agent had one",
            "restore it from a backup; or move what is left away, and begin as a new agent",
        )
    else:
        yield good(f"{config.key} will be made at the first start")
    source = source_of(config)
    raw = source.credential is None and source.passphrase_file is None and source.key_file.exists()
    named = {
        "agent's signing key": signing_path(config.key) if signing_path(config.key).exists() else None,
        "[store] key_file": source.key_file if raw else None,
        "[store] passphrase_file": config.storage.passphrase_file,
        "[mqtt] password_file": config.mqtt and config.mqtt.password_file,
        "[mqtt] cert_key_file": config.mqtt and (config.mqtt.cert_key_file or config.mqtt.cert_file),
        "[fhir] token_file": config.fhir and config.fhir.token_file,
        "[fhir] cert_key_file": config.fhir and (config.fhir.cert_key_file or config.fhir.cert_file),
    }
    for key, path in named.items():
        if path is not None:
            yield _secret(key, path)
    for key, path in (
        ("[collector] public", config.collector),
        ("[file] public", config.file and config.file.public),
    ):
        if path is not None:
            try:
                yield good(f"{key}: {keys.load_public(path, 'collector').id.hex()}")
            except keys.KeyFileError as e:
                yield bad(f"{key}: {e}", "without it nothing can be sealed to the far end")


def _secret(key: str, path: Path) -> tuple[str, str, str]:
    try:
        empty = not read_secret(path)
    except ExposedError as e:
        return bad(f"{key}: {path}: {e.problem}", e.hint)
    except OSError as e:
        return bad(f"{key}: {path}: {e.strerror}", "put the file there, for the agent's user (mode 0600)")
    if empty:
        return bad(f"{key}: {path} is empty", "put the secret in it")
    return good(f"{key}: {path}")


def store(patient: Patient) -> Found:
    """The store opens with its key; what is in it. It is not read through, as `vitalwire verify` does."""
    path = patient.config.store
    if not path.exists():
        yield good(f"{path} will be made at the first start")
        return
    if patient.config.storage.credential and not os.environ.get("CREDENTIALS_DIRECTORY"):
        yield warn(
            "not opened: its key is a systemd credential, which the service has and a command line has not",
            "systemd-run -p LoadCredentialEncrypted=… as in docs/operating.md, the store's key",
        )
        return
    try:
        with closing(database.open_reader(patient.config)) as db:
            batches, open_ = db.execute(
                "SELECT count(*), coalesce(sum(delivered = 0), 0) FROM batches"
            ).fetchone() or (0, 0)
            refused = db.execute("SELECT forwarder, count(*) FROM dead_letters GROUP BY forwarder").fetchall()
            span = db.execute("SELECT min(made_ms), max(made_ms) FROM batches").fetchone() or (None, None)
            copies = clones.found(db)
            handed = db.value("SELECT count(*) FROM signers WHERE handover IS NOT NULL")
    except StoreError as e:
        yield bad(str(e), "the remedy is in brackets")
        return
    except database.Error as e:
        yield bad(
            f"{path} cannot be read: {e}", "vitalwire verify says more; the agent sets a damaged store aside"
        )
        return
    yield good(
        f"{path} opens: {counted(batches, 'batch')}, {open_} of them not delivered; not read through"
        " (`vitalwire store check` does)"
    )
    signs = signing_path(patient.config.key)
    if handed and not signs.exists():
        yield bad(
            f"{signs}: the key that signs since hand-over {handed} is not here, so nothing is signed",
            "restore that file from a backup, or give this agent a new identity: docs/operating.md",
        )
    if copies.last_ms is not None:
        times = counted(copies.times, "time")
        yield bad(
            f"CLONE, seen {times}, last {utc(copies.last_ms)}: another agent signs with this agent's key",
            "stop the other one; new keys for it: docs/operating.md",
        )
    for forwarder, count in refused:
        yield warn(
            f"{counted(count, 'item')} {'was' if count == 1 else 'were'} refused by {forwarder} for ever",
            "vitalwire dead-letters list says which and why",
        )
    yield from _limits(patient, path, span)


def _limits(
    patient: Patient, path: Path, span: tuple[int | None, int | None]
) -> Iterator[tuple[str, str, str]]:
    named = patient.config.storage
    size = path.stat().st_size
    free = machine.free_bytes(path) or 0
    began, ended = span
    days = 0.0 if began is None or ended is None else (ended - began) / DAY_MS
    # Of less than a day nobody can say what a day makes.
    per_day = size / days if days >= 1 else None
    quota = named.quota_mib << 20
    if quota and quota > size + free - (named.min_free_mib << 20):
        yield warn(
            f"quota_mib {named.quota_mib} is more than its disk holds, which fills first, and all stops",
            f"set quota_mib below {(size + free >> 20) - named.min_free_mib}",
        )
    if quota and per_day and quota / per_day < SHORT_DAYS:
        yield warn(
            f"quota_mib is {quota / per_day:.1f} days of what comes now", "raise it: outages last for days"
        )
    if not quota and not named.retention_days and not named.wave_days:
        left = f": room for {free / per_day:.0f} days" if per_day else ""
        yield warn(
            f"the store has no limit and grows until its disk is full{left}",
            "set quota_mib and retention_days",
        )


def trusted(patient: Patient) -> Found:
    """Files of public keys that are believed or obeyed: nodes, operators, authorities."""
    config = patient.config
    try:
        paired = len(Peers(config.peers).ids())
        yield good(f"{counted(paired, 'node')} {is_are(paired)} paired")
    except PeersError as e:
        yield bad(str(e), "restore it from a backup, or pair the nodes anew: until then none is let in")
    operators = Operators(config.operators)
    try:
        count = len(operators.all())
    except OSError as e:
        yield warn(f"{config.operators}: {e.strerror}", "give it to the agent's user")
    else:
        yield good(f"{counted(count, 'operator')} {is_are(count)} believed")
    for problem in operators.problems:
        yield warn(problem, f"put the right .pub into {config.operators}")
    try:
        yield good(
            f"{counted(len(Authorities(config.authorities).all()), 'authority')} may order"
            " something from afar"
        )
    except (AuthoritiesError, OSError) as e:
        yield warn(str(e), f"mend {config.authorities}: until then nobody may order anything")


CHECKS: dict[str, Check] = {
    "folder": folder,
    "disk": disk,
    "secrets": secrets,
    "trusted": trusted,
    "store": store,
}
