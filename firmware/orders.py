"""An order of a paired agent, from the check to its answer frame (docs/wire-protocol.md §8.2).

Loaded when an order comes and forgotten after it. An id is carried out once for each kind; asked again, the
node answers again with the result that it had. This holds for the last MAX_ANSWERS orders; of signed ones
until they expire, whatever else is asked: an agent must not make the node forget one and give it again.
"""

from firmware import interlocks
from firmware.alarm_rules import PRIORITY, RULES, rule_of
from firmware.flash import FlashError
from firmware.requests import forget
from protocol import frames
from protocol.checks import is_bytes, is_list, is_uint
from protocol.identity import node_id as party_id
from protocol.orders import check_steps, order_digest

MARK_TEXT = 1
MEASURE_CUFF = 1
# IEEE 802.11; a password, or its 64 hexadecimal digits.
MAX_SSID = 32
MAX_WIFI_PASSWORD = 64
MAX_ANSWERS = 16
MAX_SHOWN_MMHG = 260
# By the priority of the rule.
MAX_DELAY_S = (0, 600, 120, 30)
_KNOWN = {
    frames.SET_MAINS_HZ: (50, 60),
    frames.SET_MODE: (frames.MODE_SPOT_CHECK, frames.MODE_WATCH),
    frames.SET_CUFF_SIZE: range(frames.CUFF_UNKNOWN, frames.CUFF_EXTRA_LARGE + 1),
}


def order_steps(node, kind, body, agent_id, answers):
    """Slow work: check the order, carry it out, seal its answer. `answers`: [until when it must be kept,
    answer, kind] of this boot, oldest first, which is kept up. Gives False for what has no id to answer to.
    """
    # Every order has its id under the same key.
    order_id = body.get(frames.ORDER_ID)
    if not is_bytes(order_id, 8):
        return False
    for _, answer, of_kind in answers:
        if of_kind == kind and answer[frames.ANSWER_ID] == order_id:
            node.sealer.seal(frames.KIND_ANSWER, answer)
            return True
    result = frames.RESULT_DONE
    digest = None
    if kind == frames.KIND_COMMAND or kind == frames.KIND_CONFIG:
        start = node.start
        node_id, boot_id = start.identity.id, start.record.boot_id
        result = yield from check_steps(node_id, boot_id, kind, body, node.clock.now_us(), start.authorities)
        if result != frames.RESULT_MALFORMED:
            digest = order_digest(node_id, boot_id, kind, body)
    after = None
    until_us = 0
    if result == frames.RESULT_DONE:
        if digest is not None:
            until_us = body[frames.ORDER_EXPIRES_US]
        # An un-pairing may be done twice, and no signed order may stand in its way.
        if kind == frames.KIND_UNPAIR or _make_room(answers, node.clock.now_us()):
            result, after = _carry_out(node, kind, body, agent_id)
        else:
            result = frames.RESULT_FAILED
    answer = {frames.ANSWER_ID: order_id, frames.ANSWER_RESULT: result}
    if digest is not None:
        answer[frames.ANSWER_DIGEST] = digest
    if _make_room(answers, node.clock.now_us()):
        answers.append([until_us, answer, kind])
    node.sealer.seal(frames.KIND_ANSWER, answer)
    if after is not None:
        after()
    return True


def _make_room(answers, now_us):
    """Whether one more can be kept: the oldest goes that need not stay."""
    if len(answers) < MAX_ANSWERS:
        return True
    for i in range(len(answers)):
        if answers[i][0] < now_us:
            answers.pop(i)
            return True
    return False


def _carry_out(node, kind, body, agent_id):
    """(result, what is to be done once it is answered)."""
    if kind == frames.KIND_UNPAIR:
        if interlocks.refused(node, interlocks.RESTART):
            return frames.RESULT_INTERLOCK, None
        return _unpair(node, agent_id)
    if kind == frames.KIND_CONFIG:
        return _configure(node, body[frames.ORDER_WHAT]), None
    what = body[frames.ORDER_WHAT] if kind == frames.KIND_COMMAND else None
    arguments = body.get(frames.ORDER_ARGS) or {}
    if what == frames.OP_IDENTIFY:
        node.signals.identify()
        node.report(frames.EVENT_IDENTIFY, frames.PRIORITY_INFO)
        return frames.RESULT_DONE, None
    if what == frames.OP_MARK:
        text = arguments.get(MARK_TEXT, "")
        if not isinstance(text, str):
            return frames.RESULT_MALFORMED, None
        node.report(frames.EVENT_MARK, frames.PRIORITY_INFO, None, text)
        return frames.RESULT_DONE, None
    if what == frames.OP_RESTART:
        if interlocks.refused(node, interlocks.RESTART):
            return frames.RESULT_INTERLOCK, None
        return frames.RESULT_BEGUN, node.restart
    if what == frames.OP_ACKNOWLEDGE:
        node.alarms.silence()
        return frames.RESULT_DONE, None
    if what in (frames.OP_JOIN, frames.OP_LEAVE):
        return _network(node, what, arguments), None
    if what in (frames.OP_MEASURE_BP, frames.OP_CUFF_LEAK, frames.OP_CUFF_STATIC):
        return _measure(node, what, arguments.get(MEASURE_CUFF), body[frames.ORDER_ID]), None
    return frames.RESULT_UNSUPPORTED, None


def _measure(node, what, argument, order_id):
    """Ask the cuff, if there is one; it wants a button press before it moves. `argument`: the cuff size of a
    measurement, the pressure in mmHg that is to be shown.
    """
    cuff = node.features.get("cuff")
    if cuff is None:
        return frames.RESULT_UNSUPPORTED
    most = frames.CUFF_EXTRA_LARGE if what == frames.OP_MEASURE_BP else MAX_SHOWN_MMHG
    if argument is not None and not (is_uint(argument) and argument <= most):
        return frames.RESULT_MALFORMED
    if interlocks.refused(node, interlocks.CUFF):
        return frames.RESULT_INTERLOCK
    if what == frames.OP_MEASURE_BP:
        return cuff.request(frames.REASON_COMMAND, order_id, argument)
    return cuff.request(frames.REASON_COMMAND, order_id, None, what, argument or 0)


def _network(node, what, arguments):
    """Another Wi-Fi network, or none. How joining went is in an event."""
    wifi = node.features.get("wifi")
    if wifi is None:
        return frames.RESULT_UNSUPPORTED
    if what == frames.OP_LEAVE:
        try:
            node.drain()
            wifi.leave()
        except FlashError:
            return frames.RESULT_FAILED
        return frames.RESULT_DONE
    ssid, password = arguments.get(frames.JOIN_SSID), arguments.get(frames.JOIN_PASSWORD, "")
    if not isinstance(ssid, str) or not isinstance(password, str):
        return frames.RESULT_MALFORMED
    if not 0 < len(ssid.encode()) <= MAX_SSID or len(password.encode()) > MAX_WIFI_PASSWORD:
        return frames.RESULT_MALFORMED
    return frames.RESULT_BEGUN if wifi.join(ssid, password) else frames.RESULT_FAILED


def _configure(node, wanted):
    """All settings of the map `wanted`, or none: one that is not known or beyond its bounds."""
    settings = node.settings
    for key, value in wanted.items():
        if key == frames.SET_LIMITS:
            good = is_list(value) and all([_is_limit(setting) for setting in value])
        elif key == frames.SET_NOT_SENT:
            good = is_list(value) and all([is_uint(channel) for channel in value])
        else:
            good = is_uint(value) and value in _KNOWN.get(key, ())
        if not good:
            return frames.RESULT_UNSUPPORTED
    if interlocks.refused(node, interlocks.CONFIG):
        return frames.RESULT_INTERLOCK
    node.drain()
    try:
        settings.keep(wanted)
    except FlashError:
        return frames.RESULT_FAILED
    return frames.RESULT_DONE


def _is_limit(setting):
    """Whether it is [event code, limit, delay in s] within the bounds of a rule."""
    if not is_list(setting) or len(setting) != 3 or not all([is_uint(number) for number in setting]):
        return False
    rule = rule_of(setting[0], setting[1])
    return rule >= 0 and setting[2] <= MAX_DELAY_S[RULES[rule][PRIORITY]]


def _unpair(node, agent_id):
    """The agent leaves flash before anybody hears of it; the next boot's key is wrapped for the others only,
    and that boot tells them.
    """
    start = node.start
    others = [pair for pair in start.agents if party_id(pair[0], pair[1]) != agent_id]
    try:
        node.drain()
        if others:
            _note(start.records, agent_id)
            node.drain()
        start.store.remove_agent(agent_id)
    except FlashError:
        return frames.RESULT_FAILED, None

    def after():
        node.session.forget_agent(agent_id)
        start.agents = others
        node.restart()

    return frames.RESULT_DONE, after


def _note(records, agent_id):
    from firmware import unpaired

    try:
        unpaired.note(records, agent_id)
    finally:
        forget("unpaired")
