"""Benchmarks: the firmware's detectors against annotated recordings."""
