"""One folder a board: pins, parts and the few lines that construct its buses."""
