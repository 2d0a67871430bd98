"""Custody: signed, chained batches on their way, the keys that sign them, and the proof of both."""
