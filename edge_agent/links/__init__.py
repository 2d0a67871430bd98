"""Byte pipes to nodes. What the bytes mean is the session's business."""
