"""`vitalwire flash`: from a bare board to a node with keys of its own, a label, a line in the kit file."""
