"""Terms: what processes in split roles must agree on, and what they refuse."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from streamgauge.config import Config, config_error
from streamgauge.core.layout import Layout
from streamgauge.core.model_spec import ModelSpec
from streamgauge.errors import ConfigError
from streamgauge.runner.pipeline import COUNTED_AS
from streamgauge.runner.plan import Plan


def model_terms(spec: ModelSpec, layout: Layout, reference_id: str | None) -> str:
    """Return what tells whether one model's counts mean the same in two processes."""
    labels = spec.labels
    told = (
        COUNTED_AS,
        layout,
        reference_id,
        spec.slices,
        spec.pane_ms,
        None if labels is None else (labels.max_delay_ms, labels.threshold),
    )
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()


def all_terms(config: Config, models: Mapping[str, str]) -> str:
    """Return the inputs and the terms of all models, by name, as one."""
    told = (config.topics.predictions, config.topics.labels, sorted(models.items()))
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()


def refuse(plan: Plan, path: Path) -> None:
    """Raise ConfigError where a plan needs every event in one process, a line for each place."""
    lines = [
        str(config_error(path, ("models", name, *place), text))
        for name, place, text in _refused(plan)
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _refused(plan: Plan) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    for learned in plan.learned:
        yield (
            learned.spec.model,
            ("reference",),
            "is learned from the stream, which needs every event in one process; use --role all, or"
            " `streamgauge profile` and a reference file",
        )
    for name, model in plan.config.models.items():
        if model.detectors:
            yield (
                name,
                ("detectors",),
                "are of River and take events one by one, which needs every event in one process;"
                " use --role all, or remove them",
            )
