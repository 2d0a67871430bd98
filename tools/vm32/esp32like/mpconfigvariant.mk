FROZEN_MANIFEST ?= $(VARIANT_DIR)/manifest.py
MICROPY_FORCE_32BIT = 1
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_JNI = 0
MICROPY_PY_THREAD = 0
# cryptolib and hashlib from mbedtls, as on an ESP32
MICROPY_PY_SSL = 1
MICROPY_SSL_AXTLS = 0
MICROPY_SSL_MBEDTLS = 1
# SSE computes in true single precision, x87 does not. Code of the native emitter does not keep the stack aligned for it.
CFLAGS += -msse2 -mfpmath=sse -mstackrealign -ffp-contract=off
MPY_CROSS_FLAGS += -msmall-int-bits=31
