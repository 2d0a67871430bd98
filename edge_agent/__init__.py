"""The agent: opens, checks, stores, signs and forwards what nodes send."""
