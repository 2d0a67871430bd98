"""What FHIR calls things: the systems, profiles and small structures that every resource is made of.

FHIR R4 (4.0.1) and the HL7 Personal Health Device guide 2.0.0 (hl7.fhir.uv.phd). Plain dictionaries: what a
FHIR library would check is checked in a process of its own (fhir_worker.py), so that the agent stays small.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from protocol.nomenclature import Quantity

Json = dict[str, Any]

MDC = "urn:iso:std:iso:11073:10101"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
URI = "urn:ietf:rfc:3986"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
PHD_CATEGORY = "http://hl7.org/fhir/uv/phd/CodeSystem/PhdObservationCategories"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
STATISTIC = "http://terminology.hl7.org/CodeSystem/observation-statistics"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
MEASUREMENT_STATUS = "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status"
ASN1 = "http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
YES_NO = "http://terminology.hl7.org/CodeSystem/v2-0136"
SIGNATURE_TYPE = "urn:iso-astm:E1762-95:2013"
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"

PHD_PROFILES = "http://hl7.org/fhir/uv/phd/StructureDefinition/"
CORE_PROFILES = "http://hl7.org/fhir/StructureDefinition/"
GATEWAY = CORE_PROFILES + "observation-gatewayDevice"
COINCIDENT = PHD_PROFILES + "CoincidentTimeStampReference"

# ISO/IEEE 11073-10101, context-free codes of what is no quantity on our wire.
MDC_PHD = 65573  # MDC_MOC_VMS_MDS_SIMP
MDC_PHG = 531981  # MDC_MOC_VMS_MDS_AHD
MDC_GENERIC = 528384  # MDC_DEV_SPEC_PROFILE_HYDRA
MDC_FIRMWARE = 531976  # MDC_ID_PROD_SPEC_FW
MDC_SOFTWARE = 531975  # MDC_ID_PROD_SPEC_SW
MDC_TICKS_US = 68072  # MDC_ATTR_TIME_REL_HI_RES
MDC_RESOLUTION = 68224  # MDC_TIME_RES_REL_HI_RES
MDC_ACCURACY = 68221  # MDC_TIME_SYNC_ACCURACY

VITAL_SIGNS = {"147842", "149530", "149546", "150456", "150020"}
CORE_OF = {"8867-4": "heartrate", "2708-6": "oxygensat", "85354-9": "bp"}

# Every name that we give is made of it and of what is named: the same thing has the same name for ever.
NAMESPACE = uuid.UUID("0d3ff0a5-6c4d-5a7c-9d2f-6f2b8f1f5a30")


def named(kind: str, value: str) -> str:
    """The `urn:uuid:` of a thing of that kind, the same whenever it is asked for (RFC 9562, version 5)."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind}/{value}')}"


def instant(unix_us: int) -> str:
    """Unix microseconds as a FHIR instant, UTC, in milliseconds."""
    ms = unix_us // 1000
    whole = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{ms % 1000:03d}Z"


def coding(system: str, code: str | int, display: str | None = None) -> Json:
    """One Coding."""
    made: Json = {"system": system, "code": str(code)}
    if display is not None:
        made["display"] = display
    return made


def concept(*codings: Json, text: str | None = None) -> Json:
    """A CodeableConcept."""
    made: Json = {}
    if codings:
        made["coding"] = list(codings)
    if text is not None:
        made["text"] = text
    return made


def code_of(quantity: Quantity) -> Json:
    """What a quantity is, in MDC and LOINC."""
    codings = [coding(MDC, quantity.mdc)] if quantity.mdc else []
    codings += [coding(LOINC, one) for one in quantity.loinc]
    return concept(*codings, text=quantity.what)


def number(value: int, exponent: int) -> int | float:
    """value · 10^exponent with the decimals that the wire has, and no more."""
    return value * 10**exponent if exponent >= 0 else round(value / 10**-exponent, -exponent)


def amount(value: int, exponent: int, ucum: str, unit: str | None = None) -> Json:
    """A Quantity of value · 10^exponent."""
    return {"value": number(value, exponent), "unit": unit or ucum, "system": UCUM, "code": ucum}


def measured(quantity: Quantity, value: int) -> Json:
    """A Quantity of what a frame says."""
    return amount(value, quantity.exponent, quantity.ucum, quantity.unit or None)


def absent(code: str, text: str) -> Json:
    """A dataAbsentReason."""
    return concept(coding(ABSENT, code), text=text)


def questionable(why: str) -> Json:
    """The interpretation of a value that is to be questioned."""
    return concept(coding(MEASUREMENT_STATUS, "questionable"), text=why)


def reference(url: str) -> Json:
    """A Reference to another entry of the bundle, or to a resource of the server."""
    return {"reference": url}
