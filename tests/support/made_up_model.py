"""The made-up model as a reference file and a configuration, for tests of what is built of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from streamgauge.core.batch import Categories, EventBatch
from streamgauge.core.reference import Reference, ReferenceBuilder
from streamgauge.core.slices import SliceSpec
from streamgauge.formats.reference_file import write_reference
from tests.support.batches import SLICES, events, layout

MONTH_MS = 30 * 86_400_000
"""A reference of so long knows how its panes vary; a shorter one waits for what is to come."""
SLICES_YAML = "[colour, [{steps: [2, 4]}, region], [wet, colour]]"
"""The slices of `tests.support.batches` as a configuration names them."""


def made_up_events(n: int = 2_000, *, span_ms: int = 60_000, seed: int = 5) -> EventBatch:
    """Return events of the made-up model, all of one version."""
    batch = events(np.random.default_rng(seed), n, span_ms=span_ms)
    return replace(batch, version=Categories(np.zeros(n, np.int32), ("1",)))


def made_up_reference(
    batch: EventBatch, slices: tuple[SliceSpec, ...] = SLICES, *, timed: bool = True
) -> Reference:
    """Return the reference that a batch makes."""
    builder = ReferenceBuilder(layout(), slices)
    builder.add(batch, timed=timed)
    return builder.finish()


def write_config(
    folder: Path,
    *,
    broker: str = "localhost:9092",
    model: str = "",
    more: str = "",
    slices: str = SLICES_YAML,
    reference: Reference | None = None,
) -> Path:
    """Write a configuration and the reference of its only model; return the configuration's file.

    `model` are further lines of the model, `more` of the top level.
    """
    write_reference(reference or made_up_reference(made_up_events()), folder / "made-up.json")
    below = "".join(f"\n    {line}" for line in model.splitlines())
    path = folder / "streamgauge.yaml"
    path.write_text(
        f"kafka: {{bootstrap_servers: '{broker}'}}\n{more}\nmodels:\n  made-up:\n"
        f"    task: binary\n    reference: made-up.json\n    slices: {slices}{below}\n"
    )
    return path
