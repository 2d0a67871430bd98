"""The whole path on one machine: virtual nodes, agent, broker and collector as separate processes."""
