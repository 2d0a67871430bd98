"""Stored frames as FHIR resources, after the HL7 Personal Health Device guide. No store, network, clock here.

The node is the Personal Health Device (PHD), the agent the gateway (PHG). docs/fhir.md has the table. Each
resource is conditionally created by an identifier made of what it tells of (node, boot, code, first and last
frame number), so that a bundle may be sent any number of times. Wire integers in, their units by
protocol/nomenclature.py.
"""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from edge_agent.forward import fhir_codes as codes
from edge_agent.forward.fhir_codes import Json, coding, concept, instant, reference
from edge_agent.nodes.clockfit import PPB, Fix
from edge_agent.readable import counted
from protocol import frames as f
from protocol.nomenclature import BP_PANEL_LOINC, BP_PANEL_MDC, Quantity, by_key, by_number

Body = dict[int, Any]


class Entry(NamedTuple):
    """One entry of a transaction: what others of the bundle call it by, the resource, how it is made.

    `name` is for people, and the same whenever the entry is made.
    """

    name: str
    url: str
    resource: Json
    request: Json

    def json(self) -> Json:
        """As it stands in the bundle."""
        return {"fullUrl": self.url, "resource": self.resource, "request": self.request}


class Batch(NamedTuple):
    """A signed batch as evidence: its chain, number, COSE_Sign1 head, and when it was signed (Unix ms)."""

    chain: bytes
    number: int
    signed: bytes
    made_ms: int


class Reading(NamedTuple):
    """A value of a frame: its number, the node's time, the integer on the wire."""

    seq: int
    t_us: int
    value: int


def created(kind: str, resource: Json, value: str, system: str | None = None) -> Entry:
    """The entry that creates a resource unless one with that identifier is there."""
    identifier: Json = {"value": value} if system is None else {"system": system, "value": value}
    query = f"identifier={value}" if system is None else f"identifier={system}|{value}"
    made: Json = {"resourceType": kind, **resource}
    made["identifier"] = [*made.get("identifier", ()), identifier]
    request: Json = {"method": "POST", "url": kind, "ifNoneExist": query}
    return Entry(f"{kind} {value}", codes.named(kind, value), made, request)


def person(pseudonym: bytes, organization: str | None = None) -> Entry:
    """The Patient of a person, 16 bytes: a pseudonym and nothing else."""
    body: Json = {} if organization is None else {"managingOrganization": _organization(organization)}
    return created("Patient", body, f"urn:uuid:{UUID(bytes=pseudonym)}", codes.URI)


def test_person(node: bytes) -> Entry:
    """The Patient that stands for whatever a node replays or makes up: nobody."""
    body: Json = {
        "meta": {"security": [coding(codes.ACT_REASON, "HTEST", "test health data")]},
        "name": [{"text": f"Test subject of node {node.hex()}: not a person"}],
    }
    return created("Patient", body, codes.named("test", node.hex()), codes.URI)


def gateway(agent: bytes, version: str, organization: str | None = None) -> Entry:
    """The Device of this agent (PhgDevice)."""
    body: Json = {
        "meta": {"profile": [codes.PHD_PROFILES + "PhgDevice"]},
        "manufacturer": "Vitalwire",
        "modelNumber": "edge agent",
        "serialNumber": agent.hex(),
        "type": concept(coding(codes.MDC, codes.MDC_PHG, "MDC_MOC_VMS_MDS_AHD")),
        "version": [{"type": concept(coding(codes.MDC, codes.MDC_SOFTWARE)), "value": version}],
        "property": [_unregulated()],
    }
    if organization is not None:
        body["owner"] = _organization(organization)
    return created("Device", body, codes.named("agent", agent.hex()), codes.URI)


def device(node: bytes, firmware: str | None, board: str | None, organization: str | None = None) -> Entry:
    """The Device of a node (PhdDevice). It claims no certificate, and says that it is not regulated."""
    body: Json = {
        "meta": {"profile": [codes.PHD_PROFILES + "PhdDevice"]},
        "manufacturer": "Vitalwire",
        "modelNumber": board or "unknown",
        "serialNumber": node.hex(),
        "type": concept(coding(codes.MDC, codes.MDC_PHD, "MDC_MOC_VMS_MDS_SIMP")),
        "specialization": [
            {"systemType": concept(coding(codes.MDC, codes.MDC_GENERIC), text="generic"), "version": "1"}
        ],
        "property": [
            _unregulated(),
            {
                "type": concept(coding(codes.MDC, codes.MDC_RESOLUTION)),
                "valueQuantity": [codes.amount(1, 0, "us")],
            },
        ],
    }
    if firmware is not None:
        body["version"] = [{"type": concept(coding(codes.MDC, codes.MDC_FIRMWARE)), "value": firmware}]
    if organization is not None:
        body["owner"] = _organization(organization)
    return created("Device", body, codes.named("node", node.hex()), codes.URI)


def _organization(identifier: str) -> Json:
    system = {"system": codes.URI} if identifier.startswith(("urn:", "http:", "https:")) else {}
    return {"type": "Organization", "identifier": {**system, "value": identifier}}


def _unregulated() -> Json:
    return {
        "type": concept(coding(codes.ASN1, "532354.0"), text="not regulated"),
        "valueCode": [concept(coding(codes.YES_NO, "Y"), text="this is not a certified medical device")],
    }


def unix_us(fix: Fix, t_us: int) -> int:
    """When it was `t_us` on the node's clock, Unix microseconds, give or take the fix's bound."""
    return fix.unix_us + (t_us - fix.t_us) * PPB // (PPB + fix.rate_ppb)


class Scene:
    """One boot of one node for one subject: what all its observations have in common.

    `test`: the values are replayed or made up, and the subject is nobody.
    """

    def __init__(
        self, phg: Entry, phd: Entry, subject: Entry, node: bytes, boot: bytes, fix: Fix, test: bool
    ) -> None:
        self.phd = phd
        self.subject = subject
        self.test = test
        self._phg = phg
        self._where = f"{node.hex()}-{boot.hex()}"
        self._fix = fix
        self.clock = self._clock()

    @property
    def needs(self) -> tuple[Entry, ...]:
        """The entries that every observation refers to."""
        return self._phg, self.phd, self.subject, self.clock

    def _clock(self) -> Entry:
        """What the node's clock said when the agent's said what (PhdCoincidentTimeStampObservation)."""
        fix = self._fix
        body: Json = {
            "meta": {"profile": [codes.PHD_PROFILES + "PhdCoincidentTimeStampObservation"]},
            "status": "final",
            "code": concept(coding(codes.MDC, codes.MDC_TICKS_US, "MDC_ATTR_TIME_REL_HI_RES")),
            "subject": reference(self.phd.url),
            "effectiveDateTime": instant(fix.unix_us),
            "valueQuantity": codes.amount(fix.t_us, 0, "us"),
            "device": reference(self._phg.url),
            "component": [
                {
                    "code": concept(coding(codes.MDC, codes.MDC_ACCURACY), text="error bound"),
                    "valueQuantity": codes.amount(fix.bound_us, 0, "us"),
                }
            ],
        }
        return created("Observation", body, f"{self._where}-{codes.MDC_TICKS_US}-{fix.t_us}-{fix.unix_us}")

    def _time(self, first_us: int, last_us: int) -> Json:
        start, end = instant(unix_us(self._fix, first_us)), instant(unix_us(self._fix, last_us))
        if start == end:
            return {"effectiveDateTime": start}
        return {"effectivePeriod": {"start": start, "end": end}}

    def _observation(
        self,
        code: Json,
        mdc: int | str,
        profile: str,
        seqs: tuple[int, int],
        at_us: tuple[int, int],
        body: Json,
    ) -> Entry:
        profiles = [codes.PHD_PROFILES + profile]
        categories = [concept(coding(codes.PHD_CATEGORY, "phd-observation"))]
        core = [codes.CORE_OF[one["code"]] for one in code.get("coding", ()) if one["code"] in codes.CORE_OF]
        if str(mdc) in codes.VITAL_SIGNS:
            profiles += [codes.CORE_PROFILES + core[0]]
            categories.insert(0, concept(coding(codes.CATEGORY, "vital-signs"), text="Vital Signs"))
        meta: Json = {"profile": profiles}
        if self.test:
            meta["security"] = [coding(codes.ACT_REASON, "HTEST", "test health data")]
        made: Json = {
            "meta": meta,
            "extension": [
                {"url": codes.GATEWAY, "valueReference": reference(self._phg.url)},
                {"url": codes.COINCIDENT, "valueReference": reference(self.clock.url)},
            ],
            "status": "final",
            "category": categories,
            "code": code,
            "subject": reference(self.subject.url),
            **self._time(*at_us),
            "device": reference(self.phd.url),
            **body,
        }
        return created("Observation", made, f"{self._where}-{mdc}-{seqs[0]}-{seqs[1]}")

    # What was measured

    def numeric(self, quantity: Quantity, readings: Sequence[Reading], doubt: str | None = None) -> Entry:
        """The readings of one quantity within a minute, in order: their median, and their range.

        Of an even number the lower of the two in the middle: what is said was measured. `doubt`: why it is to
        be questioned.
        """
        ranked = sorted(reading.value for reading in readings)
        body: Json = {"valueQuantity": codes.measured(quantity, ranked[(len(ranked) - 1) // 2])}
        if len(ranked) > 1:
            body["method"] = concept(
                coding(codes.STATISTIC, "median"), text="median of the period's readings"
            )
            body["component"] = [
                _statistic("minimum", codes.measured(quantity, ranked[0])),
                _statistic("maximum", codes.measured(quantity, ranked[-1])),
                _statistic("count", codes.amount(len(ranked), 0, "1")),
            ]
        if doubt is not None:
            body["interpretation"] = [codes.questionable(doubt)]
        seqs = min(r.seq for r in readings), max(r.seq for r in readings)
        times = min(r.t_us for r in readings), max(r.t_us for r in readings)
        code = codes.code_of(quantity)
        return self._observation(code, quantity.mdc, "PhdNumericObservation", seqs, times, body)

    def none(
        self, quantity: Quantity, seqs: tuple[int, int], at_us: tuple[int, int], why: tuple[str, str]
    ) -> Entry:
        """There was no reading, and why: (code of data-absent-reason, in words)."""
        body: Json = {"dataAbsentReason": codes.absent(*why)}
        code = codes.code_of(quantity)
        return self._observation(code, quantity.mdc, "PhdNumericObservation", seqs, at_us, body)

    def battery(self, reading: Reading) -> Entry:
        """The charge of a node; its subject is the node."""
        quantity = by_key(f.KIND_STATUS, f.STATUS_BATTERY)
        assert quantity is not None
        made = self.numeric(quantity, [reading])
        made.resource["subject"] = reference(self.phd.url)
        return made

    def blood_pressure(self, seq: int, t_us: int, body: Body) -> Entry:
        """One measurement of the cuff, whatever came of it."""
        code = concept(
            coding(codes.MDC, BP_PANEL_MDC, "MDC_PRESS_BLD_NONINV"),
            coding(codes.LOINC, BP_PANEL_LOINC),
            text="blood pressure",
        )
        result = body[f.BP_RESULT]
        components: list[Json] = []
        for key in (f.BP_SYSTOLIC, f.BP_DIASTOLIC, f.BP_MEAN):
            quantity = by_key(f.KIND_BP, key)
            assert quantity is not None
            component: Json = {"code": codes.code_of(quantity)}
            if result == f.BP_MEASURED:
                component["valueQuantity"] = codes.measured(quantity, body[key])
            elif key != f.BP_MEAN:
                component["dataAbsentReason"] = codes.absent(
                    *_BP_FAILED.get(result, ("error", "not measured"))
                )
            else:
                continue
            components.append(component)
        made: Json = {"component": components}
        doubt = _bp_doubt(body) if result == f.BP_MEASURED else None
        if doubt is not None:
            made["interpretation"] = [codes.questionable(doubt)]
        times = body[f.BP_BEGAN_US], t_us
        return self._observation(code, BP_PANEL_MDC, "PhdCompoundNumericObservation", (seq, seq), times, made)

    def strip(self, quantity: Quantity, seqs: tuple[int, int], t_us: int, wave: "Wave") -> Entry:
        """A waveform as SampledData: `data` · factor is in the unit."""
        end_us = t_us + len(wave.samples) * wave.period_ns // 1000
        data: Json = {
            "origin": {"value": 0, "unit": quantity.ucum, "system": codes.UCUM, "code": quantity.ucum},
            "period": wave.period_ns / 1_000_000,
            "factor": codes.number(wave.lsb, quantity.exponent),
            "dimensions": 1,
            "data": " ".join(map(str, wave.samples)),
        }
        body: Json = {"valueSampledData": data}
        if wave.doubt:
            body["interpretation"] = [codes.questionable(wave.doubt)]
        code = codes.code_of(quantity)
        return self._observation(code, quantity.mdc, "PhdRtsaObservation", seqs, (t_us, end_us), body)


class Wave(NamedTuple):
    """Samples without a gap; `lsb` as in the frames. `doubt`: why they are to be questioned."""

    period_ns: int
    lsb: int
    samples: Sequence[int]
    doubt: str = ""


_BP_FAILED = {
    f.BP_LEAK: ("error", "the cuff leaks"),
    f.BP_NO_CUFF: ("not-performed", "no cuff"),
    f.BP_MOTION: ("error", "motion"),
    f.BP_IRREGULAR: ("error", "irregular pulse"),
    f.BP_TIMEOUT: ("error", "took too long"),
    f.BP_NO_CUFF_SIZE: ("not-performed", "the cuff's size was not entered"),
    f.BP_OVER_PRESSURE: ("error", "over-pressure"),
    f.BP_CANCELLED: ("not-performed", "cancelled"),
    f.BP_SENSOR_FAULT: ("error", "sensor fault"),
    f.BP_NO_PULSE: ("error", "no pulse found"),
    f.BP_INTERLOCK: ("not-performed", "prevented by an interlock"),
}


def _bp_doubt(body: Body) -> str | None:
    flags = body.get(f.BP_FLAGS, 0)
    said = [(f.BP_PULSE_IRREGULAR, "irregular pulse"), (f.BP_MOTION_LEFT_OUT, "motion was left out")]
    found = [text for bit, text in said if flags & bit]
    return ", ".join(found) or None


def _statistic(name: str, value: Json) -> Json:
    return {"code": concept(coding(codes.STATISTIC, name)), "valueQuantity": value}


def channel_quantity(channel: int) -> Quantity | None:
    """The quantity of a waveform's samples."""
    return by_key(f.KIND_WAVE, f.WAVE_DATA, channel)


def cuff_pulse() -> Quantity:
    """The quantity of the pulse rate that a cuff counts."""
    quantity = by_number(11)
    assert quantity is not None
    return quantity


def provenance(agent: bytes, phg: Entry, batches: Sequence[Batch], targets: Sequence[Entry]) -> Entry:
    """Who vouches for these observations: the agent, by the signed heads of the batches that hold the frames.

    Its id is made of its targets, so that it may be put again: R4's Provenance has no identifier.
    """
    value = " ".join(sorted(target.url for target in targets))
    url = codes.named("Provenance", value)
    newest = max(batch.made_ms for batch in batches)
    resource: Json = {
        "resourceType": "Provenance",
        "id": url.removeprefix("urn:uuid:"),
        "target": [reference(target.url) for target in targets],
        "recorded": instant(newest * 1000),
        "agent": [
            {"type": concept(coding(codes.PARTICIPANT, "assembler")), "who": reference(phg.url)},
        ],
        "entity": [
            {"role": "source", "what": {"identifier": {"value": _batch_name(agent, batch)}}}
            for batch in batches
        ],
        "signature": [
            {
                "type": [coding(codes.SIGNATURE_TYPE, "1.2.840.10065.1.12.1.14", "Source Signature")],
                "when": instant(batch.made_ms * 1000),
                "who": reference(phg.url),
                "targetFormat": "application/cbor",
                "sigFormat": 'application/cose; cose-type="cose-sign1"',
                "data": base64.b64encode(batch.signed).decode("ascii"),
            }
            for batch in batches
        ],
    }
    request: Json = {"method": "PUT", "url": f"Provenance/{resource['id']}"}
    return Entry(f"Provenance of {counted(len(targets), 'observation')}", url, resource, request)


def _batch_name(agent: bytes, batch: Batch) -> str:
    return f"{agent.hex()}-{batch.chain.hex()}-{batch.number}"
