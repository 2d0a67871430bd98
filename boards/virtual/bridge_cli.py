"""`vitalwire bridge`: gives a bare board, or an emulated one, the virtual chips and patient over its second
UART.
"""

import time

import click
import serial

from boards.virtual.bench import Bench
from boards.virtual.bridge import serve_serial
from boards.virtual.option_ranges import HEART_RATE, PRESSURES, SATURATION, SPEED, FiniteRange
from boards.virtual.patient import make_patient
from boards.virtual.recording import RecordError, default_record

RETRY_S = 1.0


@click.command("bridge", short_help="Serve virtual chips to a board without sensors.")
@click.option(
    "--port",
    required=True,
    help="The board's bridge UART: a port (/dev/ttyUSB1) or a URL (socket://127.0.0.1:5556).",
)
@click.option("--record", help="Replay a recording: a path, or database/record such as mitdb/100.")
@click.option("--model", is_flag=True, help="A synthetic patient, even when recordings are at hand.")
@click.option(
    "--hr", default=72.0, show_default=True, type=HEART_RATE, help="Heart rate of the synthetic patient."
)
@click.option(
    "--spo2",
    default=97.0,
    show_default=True,
    type=SATURATION,
    help="SpO2 of the pulse wave, in %.",
)
@click.option(
    "--bp",
    default="120/80",
    show_default=True,
    type=PRESSURES,
    help="Blood pressure of the synthetic arm in the cuff, in mmHg.",
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=SPEED,
    help="Times faster than the wall.",
)
@click.option("--baud", default=921600, show_default=True, help="Baud rate of a real port.")
@click.option("--seconds", type=FiniteRange(0, min_open=True), help="End after so long.")
def bridge(
    port: str,
    record: str | None,
    model: bool,
    hr: float,
    spo2: float,
    bp: tuple[float, float],
    speed: float,
    baud: int,
    seconds: float | None,
) -> None:
    """Serve the virtual chips, cuff and patient to a board without sensors.

    The port is opened again whenever it goes away, until Ctrl-C.

    \b
    Example:
      vitalwire bridge --port /dev/ttyUSB1 --model
    """
    if record and model:
        raise click.UsageError("--record and --model exclude each other")
    try:
        patient = make_patient(None if model else record or default_record(), hr, spo2, bp_mmhg=bp)
    except RecordError as e:
        raise click.ClickException(str(e)) from e
    bench = Bench(patient, speed)
    click.echo(f"patient: {patient.label}")
    end = None if seconds is None else time.monotonic() + seconds

    def running() -> bool:
        return end is None or time.monotonic() < end

    complained = False
    try:
        while running():
            try:
                with serial.serial_for_url(port, baudrate=baud, timeout=0.03) as line:
                    click.echo(f"serving {port}")
                    complained = False
                    serve_serial(line, bench, running)
            except (serial.SerialException, OSError) as e:
                if not complained:
                    click.echo(f"{port}: {e}; trying again every {RETRY_S:g} s", err=True)
                    complained = True
                time.sleep(RETRY_S)
            except ValueError as e:
                raise click.ClickException(f"{port} is not a port or URL that pyserial knows: {e}") from e
    except KeyboardInterrupt:
        click.echo("ended")
