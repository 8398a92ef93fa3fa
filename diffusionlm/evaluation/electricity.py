"""Electricity of a piece of work, by codecarbon in offline mode: nothing is sent, nothing is left on disk.

codecarbon (Courty et al., https://codecarbon.io) reads the processor's energy counters where the system shows them, and
a GPU's by NVML. Where there are none it estimates: a power for the processor (4 W a thread if it does not know the
model, or `cpu_watts`) times the share of it that this process and its children used; and a constant power for memory,
which runs with the wall clock. `Energy.how` says which of these it was.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from diffusionlm.errors import all_near

_JOULES_IN_KWH = 3.6e6


@dataclass
class Energy:
    """Electricity that a piece of work took.

    Attributes:
        cpu_wh: watt-hours of the processor, for this process and its children alone where it is estimated from load.
        memory_wh: watt-hours of main memory.
        gpu_wh: watt-hours of GPUs.
        co2_grams: grams of CO2-equivalent, by the mix of the country.
        seconds: wall time it was measured over.
        how: how the processor's part was found.
        country: three letters (ISO 3166).
    """

    cpu_wh: float = 0.0
    memory_wh: float = 0.0
    gpu_wh: float = 0.0
    co2_grams: float = 0.0
    seconds: float = 0.0
    how: str = ""
    country: str = ""

    @property
    def wh(self) -> float:
        """All of it, watt-hours."""
        return self.cpu_wh + self.memory_wh + self.gpu_wh

    def __add__(self, other: Energy) -> Energy:
        return Energy(
            self.cpu_wh + other.cpu_wh,
            self.memory_wh + other.memory_wh,
            self.gpu_wh + other.gpu_wh,
            self.co2_grams + other.co2_grams,
            self.seconds + other.seconds,
            self.how or other.how,
            self.country or other.country,
        )

    def per(self, count: float, of: float = 1.0) -> Energy:
        """That of `of` items, where `count` items took this."""
        share = of / count
        cpu, memory, gpu = self.cpu_wh * share, self.memory_wh * share, self.gpu_wh * share
        return Energy(cpu, memory, gpu, self.co2_grams * share, self.seconds * share, self.how, self.country)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the sum."""
        return asdict(self) | {"wh": self.wh}


class EnergyMeter:
    """Measures blocks of work.

    Args:
        country: whose electricity it is, three letters (ISO 3166), such as "FRA"; decides the grams of CO2 alone.
        cpu_watts: power of the processor at full load, where you know it better than codecarbon does.

    Raises:
        ModuleNotFoundError: codecarbon is not installed.
        ValueError: `country` is no code of three capital letters, or one whose electricity codecarbon does not know, or
            `cpu_watts` is not positive.
    """

    def __init__(self, country: str = "USA", cpu_watts: float | None = None) -> None:
        if importlib.util.find_spec("codecarbon") is None:
            raise ModuleNotFoundError(
                "The energy meter needs codecarbon: pip install 'diffusionlm-toolkit[eval]', or set energy.enabled=false.",
                name="codecarbon",
            )
        if not (isinstance(country, str) and len(country) == 3 and country.isalpha() and country.isupper()):
            raise ValueError(f"energy.country is a code of three capital letters such as USA or FRA, got {country!r}.")
        if cpu_watts is not None and not cpu_watts > 0:
            raise ValueError(f"energy.cpu_watts must be positive, or null; got {cpu_watts}.")
        known = _mixes()
        if country not in known:  # codecarbon would take the mean of the world and keep silent
            near = all_near(country, known, 3, cutoff=0.5)
            hint = f"; near it: {', '.join(f'{code} ({known[code]})' for code in near)}" if near else ""
            raise ValueError(
                f"energy.country: codecarbon knows no electricity of {country!r}, but that of {len(known)} countries{hint}."
            )
        self.country, self.cpu_watts = country, cpu_watts

    def here(self, energy: Energy) -> Energy:
        """The same electricity, with the grams of CO2 of this meter's country."""
        if energy.country == self.country:
            return energy
        from codecarbon.core.emissions import Emissions
        from codecarbon.core.units import Energy as Electricity
        from codecarbon.external.geography import GeoMetadata
        from codecarbon.input import DataSource

        place = GeoMetadata(country_iso_code=self.country, country_name=_mixes()[self.country])
        grams = 1000 * Emissions(DataSource()).get_country_emissions(Electricity.from_energy(energy.wh / 1000), place)
        return replace(energy, co2_grams=grams, country=self.country)

    @contextmanager
    def measure(self) -> Iterator[Energy]:
        """Yields an object that holds the electricity of the block when it has ended."""
        energy = Energy(country=self.country)
        with _quiet():
            from codecarbon import OfflineEmissionsTracker

            tracker = OfflineEmissionsTracker(
                country_iso_code=self.country,
                force_cpu_power=self.cpu_watts,
                tracking_mode="process",
                allow_multiple_runs=True,  # no lock file
                output_methods=[],  # neither a file nor a service
                measure_power_secs=15,
                log_level="critical",
            )
            tracker.start()
            try:
                yield energy
            finally:
                tracker.stop()
                _read(tracker, energy)


def _mixes() -> dict[str, str]:
    """Countries whose electricity codecarbon knows: code -> name."""
    with _quiet():
        from codecarbon.input import DataSource

        return {code: mix["country_name"] for code, mix in DataSource().get_global_energy_mix_data().items()}


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("codecarbon")
    silent, log.disabled = log.disabled, True  # it announces itself before it has read its log level
    try:
        yield
    finally:
        log.disabled = silent


def _read(tracker: Any, energy: Energy) -> None:
    data = tracker.final_emissions_data
    energy.cpu_wh = 1000 * data.cpu_energy
    energy.memory_wh = 1000 * data.ram_energy
    energy.gpu_wh = 1000 * data.gpu_energy
    energy.co2_grams = 1000 * data.emissions
    energy.seconds = data.duration
    parts = getattr(tracker, "_hardware", [])
    found = next((part for part in parts if str(part).upper().startswith("CPU")), None)
    processor, watts = "no processor" if found is None else str(found), getattr(found, "_tdp", None)
    if watts:  # what the estimate multiplies the load with
        known = "assumed" if getattr(found, "_is_generic_tdp", False) else "known or given"
        processor += f", {watts:g} W at full load ({known})"
    energy.how = f"codecarbon {data.codecarbon_version}, offline; {data.cpu_model or 'processor'}: {processor}"
