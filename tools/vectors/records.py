"""Signed records of people, and payloads that are none."""

from typing import Any

from protocol import cbor, cose, frames, nomenclature, records
from tools.vectors.bodies import without
from tools.vectors.keys import AGENT, AUTHORITY, NODE, secret

PERSON = secret("person", 16)
FROM_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def assignment() -> bytes:
    """NODE is PERSON's, until further notice."""
    return records.make_assignment(AUTHORITY, NODE.id, PERSON, FROM_MS, FROM_MS + 5, secret("assignment", 8))


def manual() -> bytes:
    """A blood pressure that PERSON read off another device."""
    pressure = nomenclature.of_kind(frames.KIND_BP)
    values = [(quantity.number, value) for quantity, value in zip(pressure, (1310, 840), strict=False)]
    return records.make_manual(
        AGENT,
        PERSON,
        values,
        FROM_MS,
        FROM_MS + HOUR_MS,
        secret("manual", 8),
        secret("manual before", 8),
        "arm cuff of the pharmacy",
        "after the stairs",
    )


def consent(granted: bool = True) -> bytes:
    """PERSON lets the forwarder mqtt have its data for care, or withdraws that after an hour."""
    return records.make_consent(
        AUTHORITY,
        PERSON,
        "mqtt",
        records.CARE,
        granted,
        FROM_MS if granted else FROM_MS + HOUR_MS,
        FROM_MS + HOUR_MS,
        secret("consent" if granted else "withdrawal", 8),
    )


def erasure() -> bytes:
    """All that is kept of PERSON goes."""
    return records.make_erasure(AUTHORITY, PERSON, FROM_MS, secret("erasure", 8), "the person asked for it")


def record_vectors() -> Any:
    """The content of records.json."""
    ended = records.make_assignment(
        AUTHORITY,
        NODE.id,
        PERSON,
        FROM_MS,
        FROM_MS + 9 * HOUR_MS,
        secret("assignment 2", 8),
        FROM_MS + 8 * HOUR_MS,
        secret("assignment", 8),
    )
    heart_rate = records.make_manual(AGENT, PERSON, [(1, 724)], FROM_MS, FROM_MS, secret("manual 3", 8))
    year = records.make_consent(
        AUTHORITY,
        PERSON,
        "university",
        records.RESEARCH,
        True,
        FROM_MS,
        FROM_MS,
        secret("consent 2", 8),
        FROM_MS + 365 * 24 * HOUR_MS,
        secret("consent", 8),
    )
    good = [
        ("assignment, until further notice", "signed-assignment", AUTHORITY, assignment()),
        ("assignment, ended: replaces the one before", "signed-assignment", AUTHORITY, ended),
        ("manual entry, with all", "signed-manual-entry", AGENT, manual()),
        ("manual entry, a heart rate of 72.4 /min", "signed-manual-entry", AGENT, heart_rate),
        ("consent", "signed-consent", AUTHORITY, consent()),
        ("consent, for a year: replaces the one before", "signed-consent", AUTHORITY, year),
        ("consent, withdrawn", "signed-consent", AUTHORITY, consent(granted=False)),
        ("erasure", "signed-erasure", AUTHORITY, erasure()),
    ]
    agreed = cbor.loads(cose.split1(year, "record")[0])
    erased = cbor.loads(cose.split1(erasure(), "record")[0])
    payload = cbor.loads(cose.split1(ended, "record")[0])
    typed = cbor.loads(cose.split1(manual(), "record")[0])
    bad = [
        ("ends before it begins", {**payload, 6: FROM_MS - 1}),
        ("no node", without(payload, 3)),
        ("a short person", {**payload, 4: bytes(15)}),
        ("a time of 2^53", {**payload, 5: 1 << 53}),
        ("of an unknown sort", {**payload, 2: "diagnosis"}),
        ("another version", {**payload, 1: 2}),
        ("no values", {**typed, 4: []}),
        ("nine values", {**typed, 4: [[1, 700 + i] for i in range(9)]}),
        ("SpO2 of 100.1 %", {**typed, 4: [[3, 1001]]}),
        ("a waveform typed", {**typed, 4: [[16, 3]]}),
        ("a value that is true", {**typed, 4: [[1, True]]}),
        ("quantity 0", {**typed, 4: [[0, 1]]}),
        ("a long note", {**typed, 12: "é" * 101}),
        ("no author", without(typed, 7)),
        ("consent that ends before it begins", {**agreed, 11: FROM_MS - 1}),
        ("consent without a word", without(agreed, 12)),
        ("consent of 1", {**agreed, 12: 1}),
        ("consent for no forwarder", {**agreed, 4: ""}),
        ("consent for a forwarder of 33 bytes", {**agreed, 4: "é" * 16 + "e"}),
        ("consent for no purpose", {**agreed, 5: ""}),
        ("erasure of nobody", without(erased, 3)),
        ("erasure of a short person", {**erased, 3: bytes(15)}),
        ("erasure for a long reason", {**erased, 11: "é" * 101}),
    ]
    return {
        "records": [
            {"name": name, "rule": rule, "ed_pub": who.ed_pub.hex(), "by": who.id.hex(), "record": data.hex()}
            for name, rule, who, data in good
        ],
        "malformed": [{"name": name, "payload": cbor.dumps(fields).hex()} for name, fields in bad],
    }
