"""The chip models on a real patient, and what their logs say, through the drivers."""

from array import array

import numpy as np

from boards.virtual.bench import Bench
from boards.virtual.patient import make_patient
from drivers.max30003 import DATA_SHIFT, LSB_NV, Max30003
from drivers.max30102 import Max30102


class DirectSpi:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def write_readinto(self, out: memoryview, into: memoryview) -> None:
        self.bench.now_us += 20
        into[:] = self.bench.spi[0].transfer(bytes(out))


class DirectI2c:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def readfrom_mem_into(self, address: int, register: int, buf: bytearray | memoryview) -> None:
        data = self.bench.i2c[0][address].read(register, len(buf))
        assert data is not None
        buf[:] = data

    def writeto_mem(self, address: int, register: int, buf: bytearray | memoryview) -> None:
        assert self.bench.i2c[0][address].write(register, bytes(buf))


def run(bench: Bench, seconds: float, step_us: int = 40_000) -> tuple[list[int], list[int], list[int]]:
    """Both drivers on a bench whose clock is turned by hand; ECG, red, infrared."""
    ecg, ppg = Max30003(DirectSpi(bench)), Max30102(DirectI2c(bench))
    for driver in (ecg, ppg):
        driver.check()
        driver.configure()
        driver.start()
    into, red, infrared = (array("i", [0] * 32) for _ in range(3))
    out: tuple[list[int], list[int], list[int]] = ([], [], [])
    for _ in range(int(seconds * 1e6 / step_us)):
        bench.now_us += step_us
        n, m = ecg.drain(into), ppg.drain(red, infrared)
        assert not ecg.overflowed and not ppg.overflowed
        out[0].extend(into[:n])
        out[1].extend(red[:m])
        out[2].extend(infrared[:m])
    return out


def test_what_the_drivers_got_is_what_the_fifos_gave() -> None:
    bench = Bench(make_patient(), ppm_ecg=150, ppm_ppg=-80)
    ecg, red, infrared = run(bench, 20)
    assert abs(len(ecg) - 5005) < 6 and abs(len(red) - 2002) < 4
    assert ecg == [code >> DATA_SHIFT for code in bench.fifo_log.ecg.codes]
    assert red == list(bench.fifo_log.ppg.red)
    assert infrared == list(bench.fifo_log.ppg.infrared)


def test_the_patient_s_beats_are_where_the_samples_say() -> None:
    patient = make_patient(hr_bpm=80)
    bench = Bench(patient)
    ecg, _, _ = run(bench, 30)
    end_s = bench.now_us / 1e6
    microvolts = np.array(ecg) * LSB_NV / 1000
    start_s = end_s - len(ecg) * 0.004
    for r in patient.beats_s(start_s + 1, end_s - 1):
        at = round((r - start_s) / 0.004)
        peak = at - 10 + int(np.argmax(microvolts[at - 10 : at + 11]))
        assert abs(peak - at) <= 2
        assert microvolts[peak] > 600


def test_loose_electrodes_and_an_absent_finger() -> None:
    patient = make_patient()
    bench = Bench(patient)
    run(bench, 2)
    patient.lead_off = patient.finger_off = True
    ecg, ppg = Max30003(DirectSpi(bench)), Max30102(DirectI2c(bench))
    into, red, infrared = (array("i", [0] * 32) for _ in range(3))
    for _ in range(60):
        bench.now_us += 40_000
        ecg.drain(into)
        m = ppg.drain(red, infrared)
    assert ecg.lead_off and ecg.saturated
    assert max(red[:m]) * 62.5 / 1000 < 30
