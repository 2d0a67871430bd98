"""The reference cloud endpoint: opens what agents send, verifies it, stores it once and signs a receipt."""
