"""The node: sampling, signal processing, outbox and links, on MicroPython."""
