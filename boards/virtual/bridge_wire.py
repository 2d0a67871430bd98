"""The bus bridge's wire format, shared by both ends: constants and the checksum.

A node without sensors asks, the host that has them answers; one request at a time. Little-endian.

  request  = 0xB5  length:u16  op:u8  seq:u8  payload[length]  check:u16
  reply    = 0xBA  length:u16  status:u8  seq:u8  payload[length]  check:u16

`check` is the low half of the CRC-32 (IEEE) of everything between the first byte and itself. An op with bit 7
set has 8 bytes in front of its payload: the node's time in microseconds. A request is repeated with the same
`seq` when no reply came; the host then gives the same reply again and does nothing twice (reading a FIFO
destroys what is read). SYNC begins a connection: the host forgets the last reply.

  op          payload                                reply
  SYNC   0    -                                      version:u8
  SPI    1    device:u8 n:u16 out[<= n]              n bytes (a short `out` is followed by zeros)
  READ   2    bus:u8 address:u8 register:u8 n:u16    n bytes (a chip without registers: 0)
  WRITE  3    bus:u8 address:u8 register:u8 data     -       (a chip without registers: the first byte)
  SCAN   4    bus:u8                                 addresses
  GET    5    pin name                               value:u8
  SET    6    value:u8 pin name                      -
  RANDOM 7    n:u8                                   n bytes
  INFO   8    -                                      JSON {"ecg", "ppg", "cuff": sources, "label", "speed"}
  WATCH  9    timeout in ms:u32                      -    (0: the watchdog sleeps)
  PWM    10   duty:u16 pin name                      -    (0 off … 65535 on)

Pins keep what they were last set to when the node's VM ends, hangs or restarts; a reset of its chip brings
those that it had set to 0. A node may have more than one connection: what must not wait for a request that it
interrupts goes over one of its own. GET is 1 for any duty but 0. Names:

  STOP BUTTON CHARGING SWITCH BUZZER  inputs: stop in order; button held; on the charger; pressure
                                      switch; what the cuff's circuit sounds by itself
  LED_RED LED_YELLOW LED_CYAN         the light: an alarm's
  LED_GREEN LED_BLUE LED_VIOLET LED_WHITE      and what the kit says of itself
  SOUND                               the tone of the node's own alarms
  PUMP VALVE                          PWM: off at 0; a normally open valve, closed at 65535
  RELEASE FEED ARM                    second way out, closed at 1; each edge another monostable time of supply
                                      for the three; a measurement runs (and sounds BUZZER without supply)
"""

import binascii

VERSION = 1
REQUEST = 0xB5
REPLY = 0xBA
HEADER = 5
OVERHEAD = 7
MAX_PAYLOAD = 512
STAMPED = 0x80

SYNC = 0
SPI = 1
I2C_READ = 2
I2C_WRITE = 3
I2C_SCAN = 4
GPIO_GET = 5
GPIO_SET = 6
RANDOM = 7
INFO = 8
WATCH = 9
PWM = 10

OK = 0
NACK = 1
BAD_REQUEST = 2


def check(data) -> int:
    """The checksum of a frame's bytes (bytes or memoryview, without its first byte): 16 bits."""
    return binascii.crc32(data) & 0xFFFF
