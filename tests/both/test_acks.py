"""An acknowledgement written by hand is the one that the encoder writes."""

from protocol import acks, frames


def test_acks_are_byte_for_byte_what_the_encoder_writes():
    numbers = (0, 1, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1)
    for t_us in numbers + (1 << 32, frames.T_END - 1):
        for index in (0, 15):
            for ranges in ([], [[0, 1]], [[n, 1] for n in numbers], [[5, 70000], [1 << 31, 300]] * 6):
                assert acks.pack(t_us, index, ranges) == frames.pack(frames.KIND_ACK, t_us, [index, ranges])
