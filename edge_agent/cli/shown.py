"""The status and the ledger as lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from edge_agent.cli.alarm_lines import alarm_lines
from edge_agent.cli.pair import what_next
from edge_agent.cli.sentences import sentence
from edge_agent.cli.update_lines import update_lines
from edge_agent.ledger.hearsay import UNBOUNDED
from edge_agent.ledger.ledger import COUNTS, GAP, SUMMARY, Ledger, Row
from edge_agent.ops.status import is_stale
from edge_agent.people import lost
from edge_agent.readable import counted, is_are, printable, utc

# A receipt may take its time; a far end that gives none for so long is worth a line.
LATE_S = 120
# Beyond so many, only nodes that somebody should look at are described one by one.
MANY_NODES = 40
# No oscillator is so far off.
VIRTUAL_PPB = 1_000_000


def ledger_lines(ledger: Ledger, every: bool = False) -> Iterator[str]:
    """A table by boot, the totals, the agent's statements, and the verdict; each line printable. Statements
    of one kind are a line with their count and the last, unless `every` one is to be there.
    """
    return map(printable, _ledger_lines(ledger, every))


def _ledger_lines(ledger: Ledger, every: bool) -> Iterator[str]:
    columns = ("node", "boot", *COUNTS)
    rows = [[row.node, _counters(row), *(str(getattr(row, name)) for name in COUNTS)] for row in ledger.rows]
    rows.append(["total", "", *(str(ledger.totals[name]) for name in COUNTS)])
    widths = [max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(columns)]
    for row in [columns, *rows]:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for row in ledger.rows:
        boots = f"boot{'s' if row.last > row.counter else ''} {_counters(row)} of node {row.node}"
        if row.boots <= row.last - row.counter:
            boots = f"{row.boots} of {boots}"
        if row.what == GAP:
            word = "a word of it" if row.boots == 1 else "a word of them"
            yield f"{boots}: nothing has arrived here, not even {word}"
        elif row.lost_at_reset or row.clean is False or row.what == SUMMARY:
            yield f"{boots}: {_missing(row)}; {_beyond(row)}"
        if row.contradiction:
            yield f"{boots}: CONTRADICTION: {row.contradiction}"
    for name, count in sorted(ledger.withheld.items()):
        yield f"{name}: {_withheld(count)}"
    yield from _statement_lines(ledger, every)
    yield "The ledger balances." if ledger.balanced else "THE LEDGER DOES NOT BALANCE."


def _statement_lines(ledger: Ledger, every: bool) -> Iterator[str]:
    kinds: dict[str, list[tuple[str, dict[str, Any], int]]] = {}
    for n, (code, detail, at_ms) in enumerate(ledger.statements):
        kind = str(detail.get("what", code)) if code == "action" else code
        kinds.setdefault(str(n) if every else kind, []).append((code, detail, at_ms))
    for kind, alike in kinds.items():
        code, detail, at_ms = alike[-1]
        times = f"{len(alike)} times {kind}, the last at {utc(at_ms)}: " if len(alike) > 1 else ""
        yield times + sentence(code, detail)
    if len(kinds) < len(ledger.statements):
        yield f"{counted(len(ledger.statements), 'statement')} in all: vitalwire ledger --all lists them"


def _withheld(count: int) -> str:
    held = f"{counted(count, 'entry')} {is_are(count)} withheld from it for want of consent"
    return f"{held}, and pending while it is required: vitalwire consent list"


def _counters(row: Row) -> str:
    return f"{row.counter}–{row.last}" if row.last > row.counter else str(row.counter)


def _missing(row: Row) -> str:
    """What became of frames that are not here, as far as one agent can know: another may have them."""
    if not row.lost_at_reset:
        return "no frame is known to be missing"
    frames = f"{counted(row.lost_at_reset, 'frame')} {is_are(row.lost_at_reset)}"
    if row.clean:
        return f"{frames} not here: with another agent, or not sent yet when it stopped in order"
    return f"{frames} not here: lost at the reset, or with another agent"


def _pressing(nodes: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of many nodes those that somebody should look at: with an alarm, a crash, or gone silent."""

    def presses(node: Mapping[str, Any]) -> bool:
        return bool(node.get("alarms") or node.get("crash") or node.get("silent_s") is not None)

    return [node for node in nodes if presses(node)][:MANY_NODES]


def _beyond(row: Row) -> str:
    if row.bound_s is None:
        return "how many more there were is not known here: no statement of it has arrived"
    if row.bound_s == UNBOUNDED:
        return "nobody knows how many more there were"
    if row.clean or not row.bound_s:
        return "there were no more"
    return f"up to {row.bound_s} s of further frames may have gone with its RAM"


def status_lines(status: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    """The status for a person: what is wrong comes with what to do. Each line is printable."""
    return map(printable, _status_lines(status, now_ms))


def _status_lines(status: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    age_s = max(0, now_ms - int(status["written_ms"])) // 1000
    running = not is_stale(status, now_ms)
    if running:
        state = "running"
    elif status["state"] == "running":
        state = (
            f"NO NEWS for {age_s} s: it was killed, hangs, or has no room left on its disk (vitalwire doctor)"
        )
    else:
        state = f"NOT RUNNING, {status['state']} {age_s} s ago (start it: vitalwire agent run)"
    yield f"agent {status['agent']}: {state}"
    silent = {node["node"]: node["silent_s"] for node in status["nodes"] if node.get("silent_s") is not None}
    for link in status["links"]:
        where = f", node {link['node']}" if link["node"] else ""
        session = f", session {link['session']}" if link["session"] else ""
        if link["node"] in silent:
            session += f" but silent for {silent[link['node']]} s"
        yield f"link {link['port']}: {link['state']}{session}{where}"
        if link["problem"]:
            yield f"  {link['problem']}; again in {link['retry_s']} s"
        if link["last_rejected"]:
            yield f"  last refused: {link['last_rejected']}"
        if link["last_refused"]:
            yield f"  the node refuses us: {link['last_refused']}"
    tcp = status.get("tcp")
    if tcp:
        state = f"NOT LISTENING: {tcp['problem']}"
        if tcp["listening"]:
            proving = tcp.get("waiting", 0) + tcp.get("proving", 0)
            unproved = f", {proving} not proved yet" if proving else ""
            state = f"{counted(tcp['connections'], 'connection')}{unproved}"
        yield f"tcp {tcp['listen']}: {state}"
    ble = status.get("ble")
    if ble:
        unusable = ble["problem"] and f"NOT USABLE: {ble['problem']}"
        yield f"bluetooth: {unusable or counted(ble['connections'], 'connection')}"
        for node in ble["unclaimed"]:
            yield f"  node {node} is nobody's: vitalwire pair --label, with what is on its label"
    for node in status["unpaired"]:
        yield f"node {node['node']} on {node['link']} is not paired: {what_next(node)}"
    nodes = status["nodes"]
    shown = nodes if len(nodes) <= MANY_NODES else _pressing(nodes)
    for node in shown:
        yield from _node_lines(node, now_ms)
    if len(shown) < len(nodes):
        live = sum(bool(node["live"]) for node in nodes)
        rest = len(nodes) - len(shown)
        yield f"nodes: {len(nodes)}, {live} live; {rest} are not shown: status --json has all"
    totals = status["totals"]
    yield "frames: " + ", ".join(
        f"{totals.get(name, 0)} {name}" for name in COUNTS if totals.get(name) or name in COUNTS[:5]
    )
    verdict = "balances" if status["balanced"] else "DOES NOT BALANCE"
    yield f"  {status['frames_per_s']:.1f} a second; the ledger {verdict}"
    if status.get("unheard_boots"):
        yield (
            f"  {counted(status['unheard_boots'], 'boot')} of which nothing has arrived here:"
            " vitalwire ledger"
        )
    if status.get("contradictions"):
        yield f"  CONTRADICTIONS about boots, {status['contradictions']} of them: vitalwire ledger"
    custody = status["custody"]
    waits = ", waiting for the collector's head" if custody["asking_collector"] else ""
    yield f"batches: {custody['batches']} signed, {counted(custody['receipts'], 'receipt')}{waits}"
    if custody.get("sent_again"):
        yield f"  {custody['sent_again']} sent again: the collector had lost them"
    if custody.get("collector_said"):
        yield f"  {custody['collector_said']}"
    if custody["forks"]:
        yield f"  FORKS, {custody['forks']} of them: somebody else signs with this agent's key"
    if custody.get("clones"):
        last = utc(custody["clone_ms"])
        times = counted(custody["clones"], "time")
        yield f"  CLONE, seen {times}, last {last}: another agent signs with this agent's key"
    for name, forward in status["forward"].items():
        state = "connected" if forward["connected"] else f"not connected: {forward['problem']}"
        spoken = f" (MQTT {forward['protocol']})" if "protocol" in forward else ""
        yield f"{name} {forward.get('url') or forward.get('out', '')}{spoken}: {state}"
        if forward["connected"] and forward.get("problem"):
            yield f"  {forward['problem']}"
        if forward.get("taken_over"):
            times = counted(forward["taken_over"], "time")
            yield f"  {times} another client took this agent's place at the broker: does a copy of it run?"
        if forward.get("lag_s", 0) > LATE_S:
            yield f"  the oldest batch without a receipt is {forward['lag_s'] / 60:.0f} min old"
        if forward.get("withheld"):
            yield f"  {_withheld(forward['withheld'])}"
        if forward.get("dead_letters"):
            yield (
                f"  {counted(forward['dead_letters'], 'item')} will never be taken: vitalwire"
                " dead-letters list"
            )
        if forward.get("rejected"):
            yield f"  answers not accepted: {_counts(forward['rejected'])}"
        if forward.get("last_refusal"):
            yield f"  the collector refuses: {forward['last_refusal']}"
    store = status["store"]
    yield f"store {store['path']}: {counted(store['bytes'], 'byte')}, {counted(store['frames'], 'frame')}"
    if store.get("gone"):
        yield f"  of which the data is gone: {_counts(store['gone'])}"
    room: Mapping[str, Any] = store.get("room") or {}
    if room.get("evicted"):
        yield f"  {counted(room['evicted'], 'frame')} given up BEFORE THEY WERE DELIVERED, for want of room"
    for problem in (store["problem"], room.get("problem"), store["opening"]):
        if problem:
            yield f"  {problem}"
    for node in store.get("whose_unknown", ()):
        yield f"  HELD BACK: {lost.problem(bytes.fromhex(node))}: {lost.remedy(bytes.fromhex(node))}"
    flow = status.get("flow", {})
    if flow.get("level", "normal") != "normal":
        waiting = flow["waiting_items"]
        items = counted(waiting, "item") + (" waits" if waiting == 1 else " wait")
        yield f"nodes are asked: {flow['level']} ({items} for the disk)"
    yield from update_lines(status.get("updates") or {})
    if status["rejected"]:
        yield f"refused: {_counts(status['rejected'])}"
    if status.get("carried"):
        yield f"of a later protocol, kept as it is: {_counts(status['carried'])}"


def _node_lines(node: Mapping[str, Any], now_ms: int) -> Iterator[str]:
    state = "live" if node["live"] else "away"
    if node.get("silent_s") is not None:
        state = f"silent for {node['silent_s']} s: is it running? press its reset button"
    heard = f", heard {max(0, now_ms - node['heard_ms']) // 1000} s ago" if node.get("heard_ms") else ""
    yield f"node {node['node']}: {state}{heard}"
    vitals: Mapping[str, Any] = node.get("vitals", {})
    parts = [
        f"{label} {vitals[key]:g} {unit}"
        for key, label, unit in (
            ("hr_bpm", "HR", "/min"),
            ("spo2_pct", "SpO2", "%"),
            ("pulse_bpm", "pulse", "/min"),
        )
        if vitals.get(key) is not None
    ]
    sources = [source for source in node.get("sources", []) if source != "sensor"]
    if sources:
        parts.append("[" + ", ".join(sources) + "]")
    if parts:
        yield "  " + ", ".join(parts)
    yield from (f"  {line}" for line in alarm_lines(node, now_ms))
    pressure = node.get("blood_pressure")
    if pressure:
        yield f"  blood pressure: {_pressure(pressure)}"
    crash = node.get("crash")
    if crash:
        yield f"  {_crash(crash)}"
    clock = node.get("clock")
    if clock:
        yield f"  clock: within {clock['bound_us'] / 1000:.1f} ms, {_rate(clock['rate_ppb'])}"


def _pressure(pressure: Mapping[str, Any]) -> str:
    if pressure["systolic_mmhg"] is None:
        return f"no result: {pressure['result']}"
    systolic, diastolic = pressure["systolic_mmhg"], pressure["diastolic_mmhg"]
    source = "" if pressure["source"] == "sensor" else f" [{pressure['source']}]"
    return f"{systolic:.0f}/{diastolic:.0f} mmHg, mean {pressure['mean_mmhg']:.0f}{source}"


def _crash(crash: Mapping[str, Any]) -> str:
    after = "" if crash["uptime_s"] is None else f" after {crash['uptime_s']} s"
    cause = "" if crash["reset_cause"] is None else f" (reset: {crash['reset_cause']})"
    said = [line for line in crash["text"].splitlines() if line.strip()]
    return f"last crash: boot {crash['boot']}{after}{cause}: {said[-1] if said else 'without words'}"


def _rate(ppb: int) -> str:
    if abs(ppb) <= VIRTUAL_PPB:
        return f"runs {ppb / 1000:+.1f} ppm"
    return f"runs {1 + ppb / 1e9:.3g} times as fast as ours (a virtual clock?)"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
