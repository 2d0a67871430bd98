"""Bluetooth LE without a radio: bumble's controllers and link layer between virtual nodes and whoever opens
an HCI.
"""
