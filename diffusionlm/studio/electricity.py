"""Energy of the processor: from its own counters where the system lets us read them, else from the time it worked."""

from __future__ import annotations

import time
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")
WATTS = 10.0  # of a busy core with its share of the package; server and desktop processors lie between 5 and 20


class Meter:
    """Measures since it was made.

    Args:
        counters: folder of the kernel's energy counters (RAPL).
    """

    def __init__(self, counters: Path = COUNTERS) -> None:
        self._counters = counters
        self._joules, self._cpu = self._counted(), time.process_time()

    def read(self) -> tuple[float, str]:
        """(joules, how they were found).

        Counters tell of the whole processor, other programs included; without them it is an estimate from the seconds that
        this process kept a core busy.
        """
        now = self._counted()
        if now is not None and self._joules is not None and now >= self._joules:  # counters wrap around
            return now - self._joules, "counters of the processor, everything that ran on it included"
        busy = time.process_time() - self._cpu
        return busy * WATTS, f"estimated: {busy:.1f} s of one busy core at {WATTS:g} W"

    def _counted(self) -> float | None:
        total, found = 0.0, False
        for path in self._counters.glob("intel-rapl:?/energy_uj"):
            try:
                total, found = total + int(path.read_text()) / 1e6, True
            except (OSError, ValueError):  # readable by root alone on most systems
                return None
        return total if found else None
