"""The numbers that an outbox holds as few ranges: what a hello says of a boot. Loaded when one is made."""

# pyright: reportPrivateUsage=false

from protocol.outbox import add_range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.outbox import Outbox


def held_ranges(box: "Outbox", limit: int) -> "list[list[int]]":
    """Outbox.ranges."""
    stored = None if box.spool is None else box.spool.span()
    if stored is None:
        return in_memory(box, limit)
    out = in_memory(box, max(limit - 1, 1))
    add_range(out, stored[0], stored[1] - stored[0])
    while len(out) > limit:
        first = out.pop(0)[0]
        out[0] = [first, out[0][0] + out[0][1] - first]
    return out


def in_memory(box: "Outbox", limit: int) -> "list[list[int]]":
    """Of the frames in memory alone."""
    # The widest gaps stay, as many as there is room for: `wide`, ascending.
    wide: "list[int]" = []
    before = box._frames[0][0] if box._frames else 0
    for frame in box._frames:
        gap = frame[0] - before
        before = frame[0]
        if gap > 1 and (len(wide) < limit - 1 or (wide and gap > wide[0])):
            if len(wide) == limit - 1:
                wide.pop(0)
            i = len(wide)
            while i and wide[i - 1] > gap:
                i -= 1
            wide.insert(i, gap)
    least = wide[0] if wide else 0
    # Of the narrowest of them there may be more than have room.
    equal = wide.count(least)
    out: "list[list[int]]" = []
    for frame in box._frames:
        seq = frame[0]
        gap = seq - before
        if not out or (least and (gap > least or (gap == least and equal))):
            if out and gap == least:
                equal -= 1
            out.append([seq, 1])
        else:
            out[-1][1] += gap
        before = seq
    return out
