"""People: whose node it was when, who may have whose data, what is kept of a person and its erasure."""
