"""Disks that fail on purpose, beneath the store's encryption: power cuts, no room, no writes, slow syncs."""
