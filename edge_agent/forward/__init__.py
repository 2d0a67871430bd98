"""Forwarders: what carries signed batches to where they are confirmed."""
