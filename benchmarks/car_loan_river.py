"""River's detectors on the car loans: one for each numeric feature, the score and each category.

Numbers are scaled to the reference's range for ADWIN, to its mean and deviation for PageHinkley and
KSWIN; a category is 1 where it is present, else 0. ADWIN and PageHinkley are fed by events, KSWIN,
which takes 360 µs an update, by means of panes.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
from river.drift import ADWIN, KSWIN, PageHinkley

from benchmarks.car_loan_rate import ALLOWED, Outcome, most_sensitive
from benchmarks.data.car_loan import BOOLEAN, CATEGORICAL, NUMERIC, PANE
from streamgauge.core.batch import FloatArray

DELTAS: Final = (0.9, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 1e-3, 1e-4, 1e-6)
THRESHOLDS: Final = tuple(float(round(10 * 1.25**i)) for i in range(24))

Series = list[tuple[str, FloatArray]]
"""Names of columns with values `(events,)`; a column of categories has several."""
Scale = dict[str, tuple[float, float]]


def scales(reference: pd.DataFrame) -> tuple[Scale, Scale]:
    """Return offsets and divisors of numbers: by range, and by deviation."""
    numbers = {name: reference[name] for name in (*NUMERIC, "score")}
    ranges = {name: (x.min(), x.max() - x.min()) for name, x in numbers.items()}
    return ranges, {name: (x.mean(), x.std()) for name, x in numbers.items()}


def series(frame: pd.DataFrame, scale: Scale) -> Series:
    """Return the series of a frame."""
    found = [(n, ((frame[n] - low) / width).to_numpy(float)) for n, (low, width) in scale.items()]
    for name in (*CATEGORICAL, *BOOLEAN):
        values = sorted(frame[name].unique())
        # The last category is what the others leave.
        found += [(name, (frame[name] == value).to_numpy(float)) for value in values[:-1]]
    return found


def run(make: Callable[[], Any], streams: Iterable[Series], step: int = 1) -> dict[str, list[int]]:
    """Return after how many events detectors alarmed, by column; an update has `step` events."""
    detectors: list[Any] = []
    found: dict[str, list[int]] = {}
    first = 0
    for stream in streams:
        detectors = detectors or [make() for _ in stream]
        for detector, (name, values) in zip(detectors, stream, strict=True):
            alarms = found.setdefault(name, [])
            for i, x in enumerate(values.tolist()):
                detector.update(x)
                if detector.drift_detected:
                    alarms.append(first + (i + 1) * step)
        first += step * len(stream[0][1])
    return {name: sorted(alarms) for name, alarms in found.items()}


def total(alarms: dict[str, list[int]]) -> int:
    """Return how many alarms there are."""
    return sum(map(len, alarms.values()))


def adwin(reference: pd.DataFrame, streams: list[pd.DataFrame], analysis: pd.DataFrame) -> Outcome:
    """Return what ADWIN finds with as many false alarms as allowed."""
    scale, _ = scales(reference)
    still = [series(stream, scale) for stream in streams]
    delta, count = most_sensitive(DELTAS, lambda d: total(run(lambda: _adwin(d), still)))
    found = run(lambda: _adwin(delta), [series(analysis, scale)])
    return Outcome("River ADWIN, events", f"δ = {delta:g}", count, found)


def page_hinkley(
    reference: pd.DataFrame, streams: list[pd.DataFrame], analysis: pd.DataFrame
) -> Outcome:
    """Return what PageHinkley finds with as many false alarms as allowed."""
    _, scale = scales(reference)
    still = [series(stream, scale) for stream in streams]
    threshold, count = most_sensitive(
        THRESHOLDS, lambda t: total(run(lambda: PageHinkley(threshold=t), still))
    )
    found = run(lambda: PageHinkley(threshold=threshold), [series(analysis, scale)])
    return Outcome("River PageHinkley, events", f"λ = {threshold:g}", count, found)


def _adwin(delta: float) -> Any:
    return ADWIN(delta=delta)  # type: ignore[no-untyped-call]


def kswin(reference: pd.DataFrame, streams: list[pd.DataFrame], analysis: pd.DataFrame) -> Outcome:
    """Return what KSWIN finds with as many false alarms as allowed."""
    _, scale = scales(reference)

    def panes(frame: pd.DataFrame) -> Series:
        return [(name, x.reshape(-1, PANE).mean(axis=1)) for name, x in series(frame, scale)]

    least = []
    for parts in zip(*map(panes, streams), strict=True):
        detector: Any = KSWIN(alpha=0.0, seed=1)
        seen = []
        for x in np.concatenate([values for _, values in parts]).tolist():
            detector.update(x)
            # It says 0 while its window fills.
            seen.append(detector.p_value or 1.0)
        # Once it has alarmed, its window has to fill again: one alarm a window at most.
        starts = np.arange(0, len(seen), detector.window_size)
        least += np.minimum.reduceat(seen, starts).tolist()
    alpha = float(np.nextafter(np.sort(least)[ALLOWED], 0.0))
    found = run(lambda: KSWIN(alpha=alpha, seed=1), [panes(analysis)], PANE)
    count = int((np.array(least) <= alpha).sum())
    return Outcome("River KSWIN, panes", f"α = {alpha:.2g}", count, found)
