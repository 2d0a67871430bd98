"""The sample loops of this port: native machine code where the port can compile it, else the pure twins.

`NATIVE` tells which. `WORD_SHIFT` is the number of bits by which a machine word exceeds 32: the native twins
need it.
"""

import sys

try:
    from typing import Any
except ImportError:  # MicroPython, which evaluates no annotations
    pass

from firmware.dsp import ecg_kernel, ppg_kernel
from protocol import waveform

NATIVE = False
WORD_SHIFT = 32 if sys.maxsize > 0x7FFFFFFF else 0

ecg_block: Any = ecg_kernel.ecg_block
ppg_block: Any = ppg_kernel.ppg_block
ppg_moments: Any = ppg_kernel.ppg_moments
ppg_curved: Any = ppg_kernel.ppg_curved
ppg_shape: Any = ppg_kernel.ppg_shape
wave_predicted: Any = waveform.predicted

if sys.implementation.name == "micropython":
    try:
        from firmware.dsp import ecg_kernel_fast, ppg_kernel_fast, waveform_fast

        ecg_block = ecg_kernel_fast.ecg_block
        ppg_block = ppg_kernel_fast.ppg_block
        ppg_moments = ppg_kernel_fast.ppg_moments
        ppg_curved = ppg_kernel_fast.ppg_curved
        ppg_shape = ppg_kernel_fast.ppg_shape
        wave_predicted = waveform_fast.predicted
        NATIVE = True
    except (SyntaxError, ImportError, MemoryError):  # no native emitter, files left out, no executable memory
        pass
