"""Names that every MicroPython of an ESP32's size holds in its program: to use one costs no heap, where a
name of one's own costs a node some twenty bytes.

Found in the unix ports of 1.25 (32 bits) and 1.28 (64 bits), of the core and of the modules that each port
has. A name that a port lacks is a name like any other. Left out: builtins, the language's own, and what the
interpreter itself looks for in objects (`send`, `close`, `value`, a stream's methods, a task's attributes).
"""

_TEXT = """
a2b_base64 abs_tol acos acosh acquire add aes append appendleft argv array asin asinh atan atan2 atanh
atexit b2a_base64 binascii bound_method buffer buffering byteorder calcsize cancel ceil center chdir choice
clear closure cmath code collect collections copy copysign cos cosh count crc32 cryptolib decode decrypt
default degrees deleter deque dict_view difference difference_update digest disable discard doc done dump
dumps e enable encode encoding encrypt end endswith erf erfc errorcode exc_info exception execfile
executable exp expm1 extend fabs factorial file fileno find flags floor fmod frexp from_bytes fromhex
fromkeys function gamma gc generator get getcwd getenv getrandbits getter getvalue gmtime group handler
hashlib heap_lock heap_unlock heapify heappop heappush heapq hexlify idle ilistdir imag implementation index
indices inf insert intersection intersection_update invert io isalpha isclose isdigit isdisjoint isenabled
isfinite isinf islower isnan isspace issubset issuperset isupper items iterable iterator join json kbd_intr
keepends key keys ldexp lgamma libc_ver line listdir little load loads localtime lock locked log log10 log2
lookahead lower lstrip machine match math maxsize md5 mem16 mem32 mem8 mem_alloc mem_current mem_free
mem_info mem_peak mem_total mkdir mkfs mktime mode modf module modules mount mtime name namedtuple nan
newline off on opt_level os pack pack_into partition path peek pend_throw phase pi platform polar pop
popitem popleft print_exception progsize ps1 ps2 push putenv python_compiler qstr_info r radians randint
random randrange rb re readblocks readlines readonly readsize real rect rel_tol release remove rename
replace reverse rfind rindex rmdir rpartition rsplit rstrip schedule search seed select sep separators
setdefault setter sha1 sha256 sin single sinh sleep sleep_ms sleep_us soft_reset sort split splitlines sqrt
stack_use start startswith stat statvfs stderr stdin stdout step stop strip struct sub symmetric_difference
symmetric_difference_update sync system tan tanh tau threshold ticks_add ticks_cpu ticks_diff ticks_ms
ticks_us time time_ns time_pulse_us timeout to_bytes trunc uctypes umount unhexlify uniform union unlink
unpack unpack_from unsetenv update upper urandom usys values version version_info writeblocks
"""
KNOWN = tuple(_TEXT.split())
