"""Signal processing on the node: ECG and PPG chains in 32-bit integers."""
