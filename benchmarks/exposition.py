"""How fast a snapshot of 50,000 series is rendered and packed, and how many bytes that makes.

Run with `python -m benchmarks.exposition [--quick] [--json]`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from benchmarks.common import Row, arguments, best_seconds, report
from streamgauge.core.snapshot import Snapshot
from streamgauge.io.metrics.exposition import Renderer
from streamgauge.io.metrics.payload import Payload
from streamgauge.io.metrics.selection import RenderLimits
from tests.support.snapshots import SnapshotShape, synthetic_snapshot

NO_LIMITS = RenderLimits(per_model=10**9, total=10**9)
FEATURES = tuple(f"feature_{i:02d}" for i in range(20))
ONE_MODEL = SnapshotShape(
    versions=("3",), numeric=FEATURES, windows=("5m", "1h", "1d"), measures=("psi", "tvd")
)


def shapes(slices: int, models: int) -> dict[str, Snapshot]:
    """Snapshots of one model with many slices and of many models with few."""
    many = replace(ONE_MODEL, slices=tuple((("origin", f"O{i:03d}"),) for i in range(slices)))
    few = replace(ONE_MODEL, slices=tuple((("origin", f"O{i}"),) for i in range(7)), models=models)
    return {"one model": synthetic_snapshot(many), f"{models} models": synthetic_snapshot(few)}


def library(samples: int) -> Callable[[], bytes]:
    """The same number of samples in the library for Prometheus, for comparison."""
    registry = CollectorRegistry()
    gauge = Gauge("feature_distance", "Distance.", ("model", "feature"), registry=registry)
    for i in range(samples):
        gauge.labels("model-0", f"feature_{i}").set(i / 7)
    return partial(generate_latest, registry)


def works_on(snapshot: Snapshot) -> dict[str, Callable[[], bytes]]:
    """What is measured, by name; each returns the bytes it makes."""
    renderer = Renderer(NO_LIMITS)
    rendered = renderer.render(snapshot)
    return {
        "first rendering": lambda: Renderer(NO_LIMITS).render(snapshot).text.data,
        "rendering": lambda: renderer.render(snapshot).text.data,
        "gzip": lambda: Payload(rendered.text.data).gzip_followed_by(b""),
        "prometheus_client": library(rendered.series),
    }


def main() -> None:
    """Measure and print."""
    options = arguments("Rendering of metrics")
    rows: list[Row] = []
    for name, snapshot in shapes(*((30, 2) if options.quick else (300, 20))).items():
        series = Renderer(NO_LIMITS).render(snapshot).series
        works = works_on(snapshot)
        sizes = {work: len(make()) for work, make in works.items()}
        for work, best in best_seconds(works, 3 if options.quick else 15).items():
            rows.append(
                {
                    "what": f"{name}: {work}",
                    "series": series,
                    "ms": 1000 * best,
                    "µs per series": 1e6 * best / series,
                    "bytes": sizes[work],
                }
            )
    report("exposition, text format 0.0.4", rows, as_json=options.json)


if __name__ == "__main__":
    main()
