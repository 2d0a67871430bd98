"""`vitalwire release`: a maker's keys, bundles and repositories of updates (docs/updates.md)."""
