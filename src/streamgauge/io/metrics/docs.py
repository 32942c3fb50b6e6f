"""The page docs/metrics.md, written from the catalogue: `python -m streamgauge.io.metrics.docs`."""

import sys
from collections.abc import Iterator

from streamgauge.io.metrics.catalogue import CATALOGUE
from streamgauge.io.metrics.metric import Metric, Scope
from streamgauge.io.metrics.selection import RenderLimits

_INTRODUCTION = """\
# Metrics

Everything at `/metrics`, in the text format 0.0.4 and in OpenMetrics 1.0, gzipped on request. This
page is written from the catalogue in the code; a test keeps the two the same.

- Counters and histograms of models count since the app began, through restarts; those of the
  process itself begin anew with it. They can be summed over processes.
  Distances, means and quantiles belong to a window and cannot.
- Figures of models are of a snapshot that is a few seconds old, at most about twenty at full
  speed, and the same for all scrapes until the next one is written; those of the process itself are
  of the moment.
- A window's figures are of event time: `streamgauge_window_end_timestamp_seconds` says up to when.
- A histogram's bucket `le="x"` holds the values *smaller* than x: bins are closed on the left, so
  a value that equals an edge is in the bucket above it. Where values can be negative there is no
  `_sum` and no `_count` (a sum that falls is no counter): `le="+Inf"` counts all, and
  `streamgauge_feature_mean` is the mean. The delay of labels alone follows the custom: its buckets
  hold what is *at most* x.
- A figure that is not defined (a mean of nothing, a distance without a reference, the evidence of
  a detector that has not judged yet) has no sample.
- In label values, control characters and lone surrogates are replaced by U+FFFD; values over
  128 characters are cut and end in `~` and a digest, and so do values that would look the same
  otherwise.

Models whose labels are joined have figures of performance, by `metric` (`accuracy`, `log_loss`,
`mae`, ...) and with 95 % intervals, in four ways:

| family | of which predictions | when |
|---|---|---|
| `streamgauge_performance` | those whose label came in the window | as labels come |
| `streamgauge_estimated_performance` | those made in the window | at once, without labels |
| `streamgauge_weighted_performance` | those made in the window | while labels come in |
| `streamgauge_matured_performance` | those of the latest run with its labels | last, to stay |

Weighted and matured figures and the coverage go by steps, of which 128 span the largest delay and
the longest window; windows shorter than a step have none. `streamgauge_label_coverage_ratio` falls
once predictions have passed the largest delay without labels. To hear of it before that, hold
`streamgauge_matured_performance_end_timestamp_seconds` against
`streamgauge_watermark_timestamp_seconds`: the gap grows from when labels stop coming.
"""

_SCOPES = {
    Scope.MODEL: """\
## Models

A model's versions are told apart by `model_version`; these families cover all traffic of a version.
""",
    Scope.SLICE: """\
## Slices

Families of their own, so that summing over slices never counts the whole as well. The label
`slice` reads like `carrier=UA,origin=EWR`. The values `(missing)` and `(overflow)` stand for events
without the dimension and for slices past the configured number.
""",
    Scope.SELF: """\
## Streamgauge itself

Beside these there are the usual `process_` metrics of the process.
""",
}


def metrics_page() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION, _series_section()]
    for scope, text in _SCOPES.items():
        rows = [_row(metric) for metric in CATALOGUE if metric.scope is scope]
        table = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows]
        parts.append(text + "\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _series_section() -> str:
    limits = RenderLimits()
    assert limits.slice_metrics is not None
    figures = ", ".join(f"`{name}`" for name in sorted(limits.slice_metrics))
    return f"""\
## How many series

At most {limits.per_model:,} series a model and {limits.total:,} in all, the self metrics not
counted. Where there is not room for everything, this is the order: counts of every version, window
figures and detectors of every version, slices with an alert, histograms, then slices by traffic.
What is left out shows in `streamgauge_series_dropped_total`. Of performance, slices have
{figures}.
"""


def _row(metric: Metric) -> str:
    return f"| {' | '.join(_cells(metric))} |"


def _cells(metric: Metric) -> Iterator[str]:
    yield f"`{metric.name}`"
    yield metric.type.value
    yield metric.unit
    yield ", ".join(f"`{label}`" for label in metric.labels)
    yield metric.help


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
