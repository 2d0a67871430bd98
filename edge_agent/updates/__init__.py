"""Updates of nodes: bundles, roll-outs in waves, and what goes to one node, a message at a time."""
