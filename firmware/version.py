"""The firmware's version, as the boot frame states it; the distribution carries the same."""

VERSION = "0.1.0"
