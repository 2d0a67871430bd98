include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821 - MicroPython's build defines it
