"""docs/fhir.md names the codes that the FHIR forwarder sends, and no others."""

import re
from pathlib import Path

from edge_agent.forward import fhir_codes, fhir_gather, fhir_strips
from protocol import frames as f
from protocol import nomenclature

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "fhir.md").read_text("utf-8")


def test_every_code_of_the_table_is_sent_and_every_code_sent_is_in_it():
    table = TEXT[TEXT.index("| from | resource") : TEXT.index("Values that are to be questioned")]
    told = set(re.findall(r"(?<!-)\b\d{4,5}-\d\b|\b\d{5,6}\b(?!-)", table))
    sent = [q for q in nomenclature.QUANTITIES if q.kind in (f.KIND_BP, f.KIND_WAVE) and q.mdc]
    sent = [q for q in sent if q.number != 13] + list(fhir_gather._VITALS)
    sent.append(nomenclature.by_key(f.KIND_STATUS, f.STATUS_BATTERY))  # pyright: ignore[reportArgumentType]
    codes = {str(q.mdc) for q in sent} | {code for q in sent for code in q.loinc}
    codes |= {str(nomenclature.BP_PANEL_MDC), nomenclature.BP_PANEL_LOINC}
    named = ("MDC_PHD", "MDC_PHG", "MDC_TICKS_US", "MDC_ACCURACY")
    codes |= {str(getattr(fhir_codes, name)) for name in named}
    assert told == codes


def test_what_is_counted_as_left_out_is_listed():
    source = "".join(Path(one.__file__).read_text("utf-8") for one in (fhir_gather, fhir_strips))
    counted = set(re.findall(r'\bleft\["([^"]+)"\]', source))
    listed = TEXT[TEXT.index("`left_out` in the status") :]
    assert counted == {one for one in re.findall(r"`([^`]+)`", listed) if one != "left_out"}
