"""What the messages of a link say about each other: hellos hold the keys of data, attestations cover frames.

With an agent's secret key and the node's public keys, a hello's boot headers give each boot's content key;
with that, data of the boot opens. Public keys come from the agent's file of paired nodes, or from the
capture: a node's id is the fingerprint of its keys, so nobody can put others in their place.
"""

from dataclasses import dataclass, field
from typing import Any

from edge_agent.keys import PublicKeys
from protocol import attest, cbor, crypto, frames, merkle, messages
from protocol.errors import ProtocolError
from protocol.identity import pair_message
from protocol.seal import TAG_BYTES, BootKeys, unwrap_header_steps
from tools.dissect.checks import place_of, take_item_apart
from tools.dissect.part import Keys, Part
from tools.dissect.walker import Problem, Walker

MAX_HEADER_TRIALS = 2000
"""Changed boot headers that are tried to open: each takes a public-key operation."""


@dataclass
class Boot:
    """A boot of the newest hello's list: its keys, or why there are none.

    `live_from`: the first number that was not yet used at that hello; None: the boot was over.
    """

    boot_id: bytes
    keys: BootKeys | None = None
    why_not: str = ""
    live_from: int | None = None


@dataclass
class _Attested:
    """An attest frame: the part that shows it, the walk over it, its boot and its node."""

    part: Part
    walker: Walker
    boot_id: bytes
    node: PublicKeys | None


@dataclass
class _Unproved:
    """A pair reply whose signature is not over the keys of the agent at hand."""

    part: Part
    at: int
    node: PublicKeys
    fields: "dict[str, Any]"


@dataclass
class Seen:
    """Frames that were opened, by boot: plaintexts by number, and how often one came again."""

    plain: dict[bytes, dict[int, bytes]] = field(default_factory=dict[bytes, dict[int, bytes]])
    again: dict[bytes, int] = field(default_factory=dict[bytes, int])
    sealed: int = 0


class Link:
    """The state of one link as far as a capture shows it: fed each message that is well formed, in order."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.seen = Seen()
        self.node_id: bytes | None = None
        self.boots: list[Boot] | None = None
        self._known: dict[bytes, PublicKeys] = {}
        self._content: dict[bytes, BootKeys] = {}
        self._unwrapped: dict[tuple[bytes, ...], bytes | None] = {}
        self._trials = MAX_HEADER_TRIALS
        self._nonces: set[bytes] = set()
        self._attested: list[_Attested] = []
        self._requested: list[PublicKeys] = []
        # What a pairing may have been with: (authority or None, whether its button was wanted).
        self._wanted: list[tuple[Any, bool]] = [(None, False)]
        self._sealed_for: dict[bytes, set[bytes]] = {}
        self._unproved: list[_Unproved] = []

    def take(self, part: Part, walker: Walker) -> None:
        """Look into a message, and say in its part what the others let one say."""
        sort = messages.sort(part.data)
        if sort == messages.SORT_DATA:
            self._data(part, walker)
        elif sort == messages.SORT_CLEAR:
            kind, fields = messages.parse_clear(part.data)
            if kind == messages.MSG_HELLO:
                self._hello(part, walker, fields)
            elif kind == messages.MSG_PAIR_REQUEST:
                self._requested.append(PublicKeys(fields["ed_pub"], fields["x_pub"]))
                wanted = fields["authority"], fields["button"]
                if wanted not in self._wanted:
                    self._wanted.append(wanted)
            elif kind == messages.MSG_PAIR_REPLY:
                self._pair_reply(part, walker, fields)
            elif kind == messages.MSG_WELCOME:
                self._welcome(part, walker, fields)

    # Hellos

    def _hello(self, part: Part, walker: Walker, fields: "dict[str, Any]") -> None:
        node_id, boots = fields["node_id"], fields["boots"]
        if fields["keys"] is not None:
            shown = PublicKeys(*fields["keys"])
            if shown.id != node_id:
                where = place_of(walker, "public-keys")
                why = "the node id is not the fingerprint of these keys"
                part.problems.append(Problem(where, "hello", why, cause="malformed_message"))
                return
            self._known[node_id] = shown
        self._nonces.add(fields["nonce"])
        named_agents = {header[0] for boot in boots for header in boot[1]}
        self._sealed_for.setdefault(node_id, set()).update(named_agents)
        if not any(boot[1] for boot in boots):
            part.facts.append(
                "an announcement: no boot has a header, so nobody but the node can check the tag"
            )
            self._listed(
                node_id,
                [Boot(boot[0], None, "its boot has no header for any agent") for boot in boots],
                fields,
            )
            return
        agent = self.keys.agent
        if agent is None:
            part.facts.append(
                "holds the boots' keys, wrapped: --agent-key FILE opens them, and with them the sealed frames"
            )
            self._listed(
                node_id, [Boot(boot[0], None, "--agent-key FILE opens it") for boot in boots], fields
            )
            return
        listed = [self._boot(part, walker, node_id, boot, i) for i, boot in enumerate(boots)]
        newest = listed[0].keys
        if newest is not None and not crypto.equal(newest.hello_tag(fields["body"]), fields["tag"]):
            why = "not the tag of this body by the newest boot's key: something in the hello was changed"
            part.problems.append(Problem(place_of(walker, "hello-tag"), "hello", why, cause="bad_tag"))
            return
        if newest is not None:
            part.facts.append(f"the tag is by the key of {named(listed[0].boot_id)}: the hello is authentic")
        self._listed(node_id, listed, fields)

    def _listed(self, node_id: bytes, boots: "list[Boot]", fields: "dict[str, Any]") -> None:
        boots[0].live_from = fields["boots"][0][2]
        self.node_id, self.boots = node_id, boots

    def _boot(self, part: Part, walker: Walker, node_id: bytes, boot: "list[Any]", index: int) -> Boot:
        agent = self.keys.agent
        assert agent is not None
        boot_id, headers = boot[0], boot[1]
        at = walker.places["held-boot"][index][0]
        mine = [header for header in headers if header[0] == agent.id]
        if not mine:
            others = ", ".join(header[0].hex() for header in headers) or "nobody"
            why = f"{named(boot_id)} is sealed for {others}, not for agent {agent.id.hex()} of --agent-key"
            if index == 0:
                part.unchecked.append(why)
            return Boot(boot_id, None, why)
        node = self.peer(node_id)
        if node is None:
            why = f"no public keys of node {node_id.hex()} at hand: --peers FILE names those that are paired"
            if index == 0:
                part.unchecked.append(why)
            return Boot(boot_id, None, why)
        content = self.unwrapped(mine[0][1], mine[0][2], boot_id, node_id, node)
        if content is None:
            why = (
                f"the header of {named(boot_id)} does not open with the keys of agent {agent.id.hex()} and"
                f" node {node_id.hex()}: the header, the boot id or the node id was changed"
            )
            part.problems.append(Problem(at, "seal", why, cause="bad_tag"))
            return Boot(boot_id, None, why)
        keys = self._content.setdefault(boot_id, BootKeys(content, boot_id))
        part.facts.append(f"the header of {named(boot_id)} opens: its frames can be read")
        return Boot(boot_id, keys)

    def peer(self, node_id: bytes) -> "PublicKeys | None":
        """The public keys of a node, from the capture or from the agent's file."""
        return self._known.get(node_id) or self.keys.peers(node_id)

    def unwrapped(
        self, enc: bytes, wrapped: bytes, boot_id: bytes, node_id: bytes, node: PublicKeys
    ) -> "bytes | None":
        """The content key of a boot header; None when it does not open."""
        agent = self.keys.agent
        assert agent is not None
        what = (enc, wrapped, boot_id, node_id)
        if what not in self._unwrapped:
            try:
                steps = unwrap_header_steps(enc, wrapped, boot_id, agent, node_id, node.x_pub)
                self._unwrapped[what] = crypto.run(steps)
            except ProtocolError:
                self._unwrapped[what] = None
        return self._unwrapped[what]

    # Other clear messages

    def _pair_reply(self, part: Part, walker: Walker, fields: "dict[str, Any]") -> None:
        node = PublicKeys(fields["ed_pub"], fields["x_pub"])
        agent = self.keys.agent
        if agent is None:
            part.facts.append(f"of node {node.id.hex()}; --agent-key FILE checks its signature")
            return
        if _paired(fields, PublicKeys(*agent.public()), node, self._wanted):
            self._known[node.id] = node
            part.facts.append(f"node {node.id.hex()} signed that it is paired with agent {agent.id.hex()}")
        else:
            self._unproved.append(_Unproved(part, place_of(walker, "signature"), node, fields))

    def _welcome(self, part: Part, walker: Walker, fields: "dict[str, Any]") -> None:
        if self._nonces and fields["nonce"] not in self._nonces:
            why = "answers a nonce that no hello before it has"
            part.problems.append(Problem(place_of(walker, "nonce"), "session", why, cause="replayed_welcome"))
        part.facts.append("what its key opens (messages to the node), only the node can open")

    # Data

    def _data(self, part: Part, walker: Walker) -> None:
        index, sealed = messages.split_data(part.data)
        if self.boots is None:
            self.seen.sealed += 1
            part.facts.append("not opened: the key of its boot comes in a hello, and there is none before it")
            return
        if index >= len(self.boots):
            why = f"boot {index} where the newest hello lists {len(self.boots)}"
            part.problems.append(
                Problem(place_of(walker, "boot-index"), "session", why, cause="malformed_message")
            )
            return
        boot = self.boots[index]
        if boot.keys is None:
            self.seen.sealed += 1
            part.facts.append(f"not opened: {boot.why_not}")
            return
        at = place_of(walker, "ciphertext")
        try:
            number, plaintext = boot.keys.open(sealed)
        except ProtocolError as error:
            why = (
                f"{error.detail} with the key of {named(boot.boot_id)}: one of these"
                f" {len(part.data) - at} bytes was changed, or its number"
            )
            part.problems.append(Problem(at, error.layer, why, cause=error.cause))
            return
        part.facts[:] = [f"opens as frame {number} of {named(boot.boot_id)}: authentic"]
        # AES-CCM is a stream cipher: each byte of the frame is encrypted where it stands, the tag comes last
        inner, within = take_item_apart(plaintext, "frame", self.keys, part.held_at(at, len(plaintext)))
        inner.offset = at
        inner.title = f"frame {number}: {inner.title}"
        part.parts.append(inner)
        past = boot.live_from is None or number < boot.live_from
        if past and not inner.problems and _is_alarm(plaintext):
            inner.facts.append("an alarm from before the connection: shown as past, and rings nowhere")
        self._opened(inner, within, boot.boot_id, number, plaintext)

    def _opened(self, part: Part, walker: Walker, boot_id: bytes, number: int, plaintext: bytes) -> None:
        held = self.seen.plain.setdefault(boot_id, {})
        before = held.get(number)
        if before is None:
            held[number] = plaintext
        elif before == plaintext:
            self.seen.again[boot_id] = self.seen.again.get(boot_id, 0) + 1
            part.facts.append("the same frame again")
        else:
            part.problems.append(Problem(0, "session", f"frame {number} came before with other content"))
        if not part.problems and part.rule == "frame" and plaintext[1] == frames.KIND_ATTEST:
            node = self.peer(self.node_id) if self.node_id else None
            self._attested.append(_Attested(part, walker, boot_id, node))

    # When all is seen

    def finish(self) -> None:
        """Judge what needs the whole capture: attestations, and pairings with an agent not at hand."""
        for one in self._attested:
            self._judge(one)
        for reply in self._unproved:
            self._judge_pairing(reply)

    def _judge_pairing(self, reply: _Unproved) -> None:
        """Whether the reply was meant for another agent, as far as the capture shows, or is wrong."""
        agent = self.keys.agent
        assert agent is not None
        not_ours = f"not with that of agent {agent.id.hex()} of --agent-key"
        proved = [
            keys.id for keys in self._requested if _paired(reply.fields, keys, reply.node, self._wanted)
        ]
        others = self._sealed_for.get(reply.node.id, set())
        if proved:
            said = f"made with another agent's key, {proved[0].hex()}, {not_ours}"
            reply.part.facts.append(said)
            return
        if agent.id in others or agent.id in [keys.id for keys in self._requested]:
            why = f"not this node's signature over its keys, the nonce and the keys of agent {agent.id.hex()}"
            reply.part.problems.append(Problem(reply.at, "pairing", why))
        elif others:
            held = ", ".join(sorted(other.hex() for other in others))
            why = f"made with another agent's key, {not_ours}: the node's boots are sealed for {held}"
            reply.part.unchecked.append(why)
        else:
            why = f"made with another agent's key, {not_ours}; or something in it was changed"
            reply.part.problems.append(Problem(reply.at, "pairing", why))

    def _judge(self, one: _Attested) -> None:
        body = cbor.loads(one.part.data)[2]
        first, count, root = body[attest.FIRST], body[attest.COUNT], body[attest.ROOT]
        held = self.seen.plain.get(one.boot_id, {})
        numbers = range(first, first + count)
        missing = (
            sum(1 for number in numbers if number not in held) if count <= len(held) else count - len(held)
        )
        if one.node is not None and self.node_id is not None:
            message = attest.attested_message(self.node_id, one.boot_id, first, count, root)
            if crypto.run(crypto.ed25519_verify_steps(one.node.ed_pub, message, body[attest.SIGNATURE])):
                one.part.facts.append(f"node {self.node_id.hex()} signed it")
            else:
                where = place_of(one.walker, "signature")
                one.part.problems.append(Problem(where, "attestation", "not the signature of the node's key"))
        if missing:
            one.part.facts.append(
                f"root not checked: {missing} of the frames {first} to {first + count - 1} are not here"
            )
            return
        leaves = [merkle.leaf_hash(attest.leaf(one.boot_id, number, held[number])) for number in numbers]
        if merkle.root(leaves) == root:
            one.part.facts.append(
                f"its root is that of the frames {first} to {first + count - 1} of this capture"
            )
        else:
            why = f"the root is not that of the frames {first} to {first + count - 1}"
            one.part.problems.append(Problem(place_of(one.walker, "merkle-root"), "attestation", why))

    # For those who look for what was changed

    def opens(self, message: bytes) -> bool:
        """Whether a message is proved by a key at hand: data that opens, a hello whose tag is right."""
        sort = messages.sort(message)
        try:
            if sort == messages.SORT_DATA:
                index, sealed = messages.split_data(message)
                boots = self.boots or []
                keys = boots[index].keys if index < len(boots) else None
                return keys is not None and len(sealed) > TAG_BYTES and bool(keys.open(sealed))
            if sort == messages.SORT_CLEAR and self.keys.agent is not None:
                kind, fields = messages.parse_clear(message)
                return kind == messages.MSG_HELLO and self._hello_opens(fields)
        except ProtocolError:
            pass
        return False

    def _hello_opens(self, fields: "dict[str, Any]") -> bool:
        agent, node = self.keys.agent, self.peer(fields["node_id"])
        boot_id, headers = fields["boots"][0][0], fields["boots"][0][1]
        mine = [header for header in headers if agent is not None and header[0] == agent.id]
        if not mine or node is None:
            return False
        what = (mine[0][1], mine[0][2], boot_id, fields["node_id"])
        if what not in self._unwrapped:
            if self._trials == 0:
                return False
            self._trials -= 1
        content = self.unwrapped(*what, node)
        return content is not None and crypto.equal(
            BootKeys(content, boot_id).hello_tag(fields["body"]), fields["tag"]
        )


def _is_alarm(plaintext: bytes) -> bool:
    kind, _, body = frames.unpack(plaintext)
    return frames.lane(kind, body) == frames.LANE_ALARM


def _paired(
    fields: "dict[str, Any]", agent: PublicKeys, node: PublicKeys, wanted: "list[tuple[Any, bool]]"
) -> bool:
    """Whether the fields of a pair reply are signed by the node for that agent, with one of `wanted`."""
    return any(
        crypto.run(
            crypto.ed25519_verify_steps(
                node.ed_pub, pair_message(*agent, *node, fields["nonce"], *one), fields["signature"]
            )
        )
        for one in wanted
    )


def named(boot_id: bytes) -> str:
    """A boot for people: its counter, and enough of its random part."""
    return f"boot {int.from_bytes(boot_id[:4], 'big')} ({boot_id[4:8].hex()}…)"
