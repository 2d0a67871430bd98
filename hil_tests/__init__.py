"""Tests that drive a rig, virtual or real, through its real interfaces only."""
