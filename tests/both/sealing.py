"""Keys that seal, for tests without a flash."""

from protocol.seal import SealingKeys


class Committed:
    """Stands for a boot record whose counter is on flash."""

    def __init__(self, boot_id):
        self.boot_id = boot_id


def sealing(K, boot_id):
    """New keys, which have sealed nothing yet."""
    return SealingKeys(K, Committed(boot_id))


def seal_one(K, boot_id, seq, plaintext):
    """What keys that seal only this make of it: the same number again and again, or backwards."""
    return sealing(K, boot_id).seal(seq, plaintext)
