"""The home kit that exists only in software: the virtual board with the radios of its rig."""

from boards.virtual.board import Board as VirtualBoard


class Board(VirtualBoard):
    """The virtual board; its radios are modules that the rig puts on the VM's path."""
