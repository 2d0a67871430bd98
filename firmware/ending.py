"""The orderly end of a boot. Loaded when it is wanted."""

import asyncio

from firmware.boots import CommitError
from protocol import frames
from protocol.session_states import STREAMING

POLL_MS = 50
DRAIN_OUT_MS = 5000


async def orderly_end(node, running):
    """Everything measured becomes a frame, everything sealed has its chance to go, and flash says that the
    end was orderly. `running`: the node's tasks by name.
    """
    for feature in node.features.values():
        feature.stop()
    for name in running:
        if name not in ("attest", "receive", "send", "key work"):
            running[name].cancel()
    # What they seal as they end, a measurement that was broken off, comes before the last signature.
    await asyncio.sleep_ms(0)
    while node.signing:
        await asyncio.sleep_ms(POLL_MS)
    running["attest"].cancel()
    for sensor in node.sensors:
        sensor.poll()
    node.sampling = False
    for sensor in node.sensors:
        if sensor.wave.ready is not None:
            sensor.flush()
        sensor.wave.close()
        if sensor.wave.ready is not None:
            sensor.flush()
    sealer = node.sealer
    node.report(frames.EVENT_STOP, frames.PRIORITY_INFO)
    sealer.losses(True)
    sealer.elsewhere(node.session)
    if node.signed is not None or node.start.attester.behind:
        await node.sign_range(node.clock.now_ms())
    await node.sign_range(node.clock.now_ms())
    until_ms = node.clock.now_ms() + DRAIN_OUT_MS
    box = sealer.box
    while node.session.state == STREAMING and box.waiting() and node.clock.now_ms() < until_ms:
        node.board.feed_watchdog()
        node.link.beat()
        await asyncio.sleep_ms(POLL_MS)
    if "spool" in node.features:
        node.features["spool"].put_away()
    try:
        node.start.record.close(box.next_seq, not box.holds(0))
    except CommitError:
        # The reservation that flash holds is true, too; it only knows less.
        pass
