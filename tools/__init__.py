"""What a person runs: the vitalwire command, the collector, the demo, and the engineer's tools."""
