"""What goes over the sockets between a virtual node's `bluetooth` module and its peripheral on the host.

Two connections, each opened with one byte. CALLS: the node asks, `<H` length, op, body; the answer is `<H`
length, errno (0: done; NO_MEMORY: none for the stack), body. EVENTS: the host tells, `<H` length, the number
of the interrupt as MicroPython has it, body; the node answers each with `<H` length and what its handler
gave: a byte (0: nothing), or 1 and the value of a secret.
"""

CALLS = b"c"
EVENTS = b"e"
NO_MEMORY = 255

ACTIVE = 1  # u8
CONFIG = 2  # JSON: gap_name, mtu, bond, mitm, io, le_secure
ADVERTISE = 3  # i32 interval in us (-1: stop), u8 connectable, u8 length, advertisement, scan response
REGISTER = 4  # JSON: [[uuid, [[uuid, flags], …]], …] → u16 handles, in that order
READ = 5  # u16 handle → value
WRITE = 6  # u16 handle, u8 send_update, value
NOTIFY = 7  # u16 connection, u16 handle, u8 whether a value follows, value
INDICATE = 8  # the same
BUFFER = 9  # u16 handle, u16 length, u8 append
DISCONNECT = 10  # u16 connection → u8 whether there was one
PAIR = 11  # u16 connection
ADDRESS = 12  # → u8 type, 6 bytes

CENTRAL_CONNECT = 1  # u16 connection, u8 type, 6 bytes of address
CENTRAL_DISCONNECT = 2  # the same
GATTS_WRITE = 3  # u16 connection, u16 handle
GATTS_READ_REQUEST = 4  # the same
GATTS_INDICATE_DONE = 20  # u16 connection, u16 handle, u8 status
MTU_EXCHANGED = 21  # u16 connection, u16 MTU
ENCRYPTION_UPDATE = 28  # u16 connection, u8 encrypted, u8 authenticated, u8 bonded, u8 key size
GET_SECRET = 29  # u8 type, u8 index, u8 whether a key follows, key
SET_SECRET = 30  # u8 type, u8 whether a value follows, u8 length of the key, key, value
