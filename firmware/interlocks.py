"""What may not be begun now, and why: a person on the mains, a cuff that is inflated, an alarm that is on."""

ECG = 0
CUFF = 1
CONFIG = 2
RESTART = 3
UPDATE = 4
SLEEP = 5


def refused(node, what):
    """ "" when `what` (ECG … SLEEP of this module) may be begun, else the reason in a word or two."""
    if what <= CUFF:
        board = node.board
        if board.charging() and not board.config["node"].get("isolated"):
            return "charging"
        return ""
    cuff = node.features.get("cuff")
    if cuff is not None and cuff.inflated:
        return "cuff inflated"
    # It is latched until a person at the kit has seen it; another boot would not know of every one.
    if cuff is not None and cuff.fault:
        return "cuff fault"
    return "alarm" if node.alarms.binding else ""
