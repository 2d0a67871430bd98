"""Sensor drivers, one chip a file, over an injected bus shaped like machine.SPI or machine.I2C."""
