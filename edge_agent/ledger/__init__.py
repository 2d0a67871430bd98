"""The completeness ledger: what became of every frame that a node numbered."""
