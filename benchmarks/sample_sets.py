"""The sets of samples that the benchmarks share; they are measured by the library, `diffusionlm.evaluation.sample_sets`."""

from diffusionlm.evaluation.sample_sets import (
    CELLS,
    Comparison,
    SampleSet,
    Shelf,
    compare,
    percent,
    ratio,
    table,
    verdict,
    write,
)

__all__ = [
    "CELLS",
    "Comparison",
    "SampleSet",
    "Shelf",
    "compare",
    "percent",
    "ratio",
    "table",
    "verdict",
    "write",
]
