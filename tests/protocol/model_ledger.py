"""What the model demands of the end: every number that ever was is stored, evicted and stated, or lost at a
stated reset."""

from protocol import frames


def statements(store):
    """(first counter, last counter, known frames, clean, bound_s) of every statement in the store."""
    out = []
    for plaintext in store.values():
        kind, _, body = frames.unpack(plaintext)
        if kind != frames.KIND_BOOT:
            continue
        said = list(body.get(frames.BOOT_EARLIER, []))
        if frames.BOOT_PREVIOUS in body:
            said.append(body[frames.BOOT_PREVIOUS])
        for item in said:
            if isinstance(item[0], int):
                out.append((item[0], item[1], item[2], False, item[3]))
            else:
                counter = int.from_bytes(item[0][:4], "big")
                out.append((counter, counter, item[1], item[2], item[3]))
    return out


def stated_losses(store, boot, reason):
    """The numbers of that boot which loss frames in the store give up for that reason."""
    out = set()
    for (boot_id, _), plaintext in store.items():
        kind, _, body = frames.unpack(plaintext)
        if boot_id == boot.id and kind == frames.KIND_LOSS:
            out |= boot.expand([item[:2] for item in body[frames.LOSS_RANGES] if item[2] == reason])
    return out


def check_balance(node, durable):
    """The equation over all agents together, with what the model knows to be true."""
    said = statements(durable)
    for boot in node.boots:
        stored = {seq for boot_id, seq in durable if boot_id == boot.id}
        made = set(boot.made)
        assert made == set(range(len(made)))
        assert stored <= made
        assert made == stored | boot.evicted | boot.gone, "frames are missing without a reason"
        stated = stated_losses(durable, boot, frames.LOSS_OUTBOX_FULL)
        assert stated <= boot.evicted
        mine = [item for item in said if item[0] == item[1] == boot.counter]
        for _, _, known, clean, _ in mine:
            assert known == len(made) if clean else known <= len(made)
            assert boot.clean or not clean, "a boot that ended anyhow is stated as ended in order"
        if boot is node.boot:
            assert made == stored | stated, "a loss that is not stated"
        elif made != stored | stated:
            assert any(first <= boot.counter <= last for first, last, _, _, _ in said), "an unstated reset"


def check_agent(agent, node):
    """What one agent's own store says of the newest boot, up to where it was on the link: nothing is left
    open, whatever the other one has."""
    boot = node.boot
    stored = {seq for boot_id, seq in agent.store if boot_id == boot.id}
    evicted = stated_losses(agent.store, boot, frames.LOSS_OUTBOX_FULL)
    elsewhere = stated_losses(agent.store, boot, frames.LOSS_ELSEWHERE)
    for seq in elsewhere - stored:
        assert (boot.id, seq) in agent.durable or seq in boot.evicted, "it was to come"
    if not agent.restored:
        missing = set(range(agent.told_until)) - stored - evicted - elsewhere
        assert not missing, f"numbers that this agent was told nothing of: {sorted(missing)}"
