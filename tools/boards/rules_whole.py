"""Rules about a board as a whole: its chip and image, its power, its radios and its memories."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.boards.chips import CHIPS, FIRMWARE_MIB, Chip
from tools.boards.fault import Fault

CHIP_KEYS = ("model", "flash_mib", "psram_mib")
IMAGE_KEYS = ("name", "version", "url", "sha256", "offset")
WIRING_KEYS = ("module", "labels", "notes", "accepted")
OLDEST = (1, 24)
# The largest flash and PSRAM of Espressif's modules.
MOST_MIB = 32
# The stock images' consoles.
CONSOLE_BAUD = 115200
# What the heap of a chip without PSRAM has room for (docs/boards.md, "What it costs"); a radio and its
# features need more of it.
MOST_OUTBOX = 10240
MOST_OUTBOX_RADIO = 8192
# Of PSRAM, which holds all else as well.
OUTBOX_SHARE = 8
# Two slots and what is received into, of a build each; records, crash notes and what LittleFS needs.
BUILD_KIB = 256
STATE_KIB = 128


def chip(found: Mapping[str, Any]) -> Iterator[Fault]:
    """[chip] names a chip that is known, and its memories."""
    for key in found:
        if key not in CHIP_KEYS:
            yield Fault(f"[chip] {key}", f"is not known; [chip] has {', '.join(CHIP_KEYS)}")
    model = found.get("model")
    if not isinstance(model, str) or model not in CHIPS:
        yield Fault("[chip] model", f"is {model!r}; known are {', '.join(CHIPS)}")
    flash, psram = found.get("flash_mib"), found.get("psram_mib")
    if type(flash) is not int or not FIRMWARE_MIB < flash <= MOST_MIB:
        yield Fault(
            "[chip] flash_mib",
            f"is {flash!r}; MicroPython alone takes {FIRMWARE_MIB} MiB, no module has more than {MOST_MIB}",
        )
    if type(psram) is not int or not 0 <= psram <= MOST_MIB:
        yield Fault("[chip] psram_mib", f"is {psram!r}; a module without PSRAM has 0")
    elif psram and model == "esp32c3":
        yield Fault("[chip] psram_mib", f"is {psram}; an ESP32-C3 has no PSRAM: 0")


def image(of: Chip, psram_mib: int, found: Mapping[str, Any]) -> Iterator[Fault]:
    """[image] is a stock image of that chip, which knows its PSRAM; a checksum need not be there, but has to
    be one.
    """
    if not found:
        yield Fault(
            "[image]", "is missing: which MicroPython goes onto the board (name, version, url, offset)"
        )
        return
    for key in found:
        if key not in IMAGE_KEYS:
            yield Fault(f"[image] {key}", f"is not known; [image] has {', '.join(IMAGE_KEYS)}")
    name, version, url = (str(found.get(key, "")) for key in ("name", "version", "url"))
    if name.partition("-")[0] != of.image:
        yield Fault("[image] name", f"is {name!r}; the one of an {of.title} begins with {of.image}")
    variant = of.psram_image(psram_mib)
    if variant and name.partition("-")[2] != variant:
        yield Fault(
            "[image] name",
            f"is {name!r}; only {of.image}-{variant} knows the {psram_mib} MiB of PSRAM in [chip]",
        )
    numbers = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        yield Fault("[image] version", f"is {version!r}; the firmware needs {OLDEST[0]}.{OLDEST[1]} or newer")
    file = url.rpartition("/")[2]
    if not url.startswith("https://") or not file.startswith(f"{name}-") or f"v{version}" not in file:
        yield Fault("[image] url", f"is {url!r}, and not https and a file of {name} and v{version}")
    if type(found.get("offset")) is not int or found["offset"] != of.offset:
        yield Fault("[image] offset", f"is {found.get('offset')!r}; on an {of.title} it is 0x{of.offset:x}")
    if "sha256" in found and not re.fullmatch(r"[0-9a-f]{64}", str(found["sha256"])):
        yield Fault(
            "[image] sha256", "is no SHA-256, which has 64 of 0 to 9 and a to f; not known: leave it out"
        )


def wiring(of: Chip, found: Mapping[str, Any]) -> Iterator[Fault]:
    """[wiring] names the module, and labels pins that there are."""
    for key in found:
        if key not in WIRING_KEYS:
            yield Fault(f"[wiring] {key}", f"is not known; [wiring] has {', '.join(WIRING_KEYS)}")
    if not isinstance(found.get("module"), str):
        yield Fault("[wiring] module", "is missing: the name of the module, for the picture")
    labels = found.get("labels", {})
    if not isinstance(labels, Mapping):
        yield Fault("[wiring] labels", "has to be a table: what is printed beside a pin, and its GPIO")
        return
    for label, pin in labels.items():
        if pin not in of.pins:
            yield Fault(f"[wiring.labels] {label}", f"an {of.title} has no GPIO {pin}")
    notes = found.get("notes", {})
    if not isinstance(notes, Mapping) or not all(isinstance(note, str) for note in notes.values()):
        yield Fault("[wiring] notes", "has to be a table: what is wired, and a text on it")


def link(settings: Mapping[str, Any]) -> Iterator[Fault]:
    """The link is the console, at the console's speed."""
    baud = settings.get("link", {}).get("baud")
    if baud != CONSOLE_BAUD:
        yield Fault("[link] baud", f"is {baud!r}; the stock image's console has {CONSOLE_BAUD}")


def power(settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Fault]:
    """Where there is a battery it is said whether the person is isolated from the charger; if not, the node
    sees that it is charged.
    """
    if "gauge" not in parts and "charger" not in settings:
        return
    isolated = settings.get("node", {}).get("isolated")
    if isolated is None:
        yield Fault(
            "[node] isolated",
            "is missing on a board with a battery: true only if its charger is isolated from the person as a "
            "medical supply is, else false: then it measures no ECG and inflates no cuff while it is charged",
        )
    elif not isolated and "charger" not in settings:
        yield Fault(
            "[charger]",
            "is missing: without isolation the node has to see that it is charged; give the pin that says so "
            "(pin, active_low)",
        )
    for table in ("charger", "button"):
        if table in settings and not isinstance(settings[table].get("active_low"), bool):
            yield Fault(f"[{table}] active_low", "is missing: true if low means yes, else false")


def radios(psram_mib: int, settings: Mapping[str, Any]) -> Iterator[Fault]:
    """One radio at a time where there is no PSRAM."""
    have = [name for name in ("wifi", "ble") if name in settings]
    at_once = settings.get("radio", {}).get("at_once")
    if "radio" in settings and (type(at_once) is not int or at_once not in (1, 2)):
        yield Fault("[radio] at_once", f"is {at_once!r}; it is 1 or 2")
    elif "radio" in settings and not have:
        yield Fault("[radio]", "is there, but neither [wifi] nor [ble] is: take it out")
    elif len(have) == 2 and at_once is None:
        yield Fault("[radio] at_once", "is missing on a board with [wifi] and [ble]: 1, or with PSRAM 2")
    elif at_once == 2 and not psram_mib:
        yield Fault("[radio] at_once", "is 2, but two radios do not fit into a heap without PSRAM: 1")


def memories(found: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Fault]:
    """Outbox and spool fit into what there is."""
    outbox = settings.get("node", {}).get("outbox_bytes")
    psram = found["psram_mib"]
    radio = "wifi" in settings or "ble" in settings
    most = (psram << 20) // OUTBOX_SHARE if psram else MOST_OUTBOX_RADIO if radio else MOST_OUTBOX
    if type(outbox) is int and outbox > most:
        beside = "beside a radio " if radio and not psram else ""
        yield Fault(
            "[node] outbox_bytes", f"is {outbox}; {beside}the memory of this board has room for {most}"
        )
    spool = settings.get("spool", {}).get("max_kib")
    if spool is None:
        return
    room = flash_room_kib(found, settings)
    if type(spool) is not int or not 0 < spool <= room:
        yield Fault(
            "[spool] max_kib",
            f"is {spool!r}; beside builds and records {room} KiB of this flash are left "
            "(without max_kib it takes what is free)",
        )


def flash_room_kib(found: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """What the file system has left for a spool, in KiB: less two slots and a bundle where there are updates,
    else less one build.
    """
    builds = 3 if "update" in settings else 1
    return (found["flash_mib"] - FIRMWARE_MIB) * 1024 - builds * BUILD_KIB - STATE_KIB
