"""The crash campaign: a real agent, broker and collectors killed at random; disks and clocks that fail."""
