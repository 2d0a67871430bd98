"""The body of a node's hello: which boots, and how much of what is held of each, fit into it.

docs/wire-protocol.md §4 and §10. What a boot is here: session_node.py (`earlier`).
"""

from protocol import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from protocol.identity import Identity

# A hello body is in memory three times on its way out; with more boots than fit, others are in a later hello.
MAX_HELLO = 1500
# What is in it takes at most: itself, a boot with one range, a header, a further range.
HELLO_BYTES = 125
BOOT_BYTES = 42
HEADER_BYTES = 78
RANGE_BYTES = 11


def make(
    identity: "Identity", nonce: bytes, conn: int, newest: "list[Any]", earlier: "list[Any]", agents: "Any"
) -> "tuple[bytes, list[Any], bool]":
    """(encoded body, the earlier boots that are in it, whether others had no room).

    `newest`: [boot id, headers, box] of this boot; `earlier`: newest first; `agents`: ids that are paired, in
    whose headers alone a boot can be read.
    """
    limit = messages.MAX_RANGES
    readable = [boot for boot in earlier if _headers(boot, agents)]
    # The oldest go first; those that do not fit are in a later hello.
    free = MAX_HELLO - HELLO_BYTES - BOOT_BYTES - HEADER_BYTES * len(newest[1])
    listed: "list[Any]" = []
    for boot in reversed(readable):
        free -= BOOT_BYTES + HEADER_BYTES * len(_headers(boot, agents))
        if free < 0 or len(listed) == messages.MAX_BOOTS - 1:
            break
        limit = 1 + free // (RANGE_BYTES * (len(listed) + 2))
        listed.insert(0, boot)
    limit = min(limit, messages.MAX_RANGES)
    boots = [[newest[0], newest[1], newest[2].next_seq, newest[2].ranges(limit)]]
    for boot in listed:
        boots.append([boot.boot_id, _headers(boot, agents), boot.box.next_seq, boot.box.ranges(limit)])
    body = messages.hello_body(
        messages.VERSIONS[0],
        identity.id,
        nonce,
        conn,
        boots,
        None if agents else (identity.ed_pub, identity.x_pub),
        messages.VERSIONS if len(messages.VERSIONS) > 1 else None,
    )
    return body, listed, len(listed) < len(readable)


def _headers(boot: "Any", agents: "Any") -> "list[list[bytes]]":
    return [header for header in boot.headers if header[0] in agents]
