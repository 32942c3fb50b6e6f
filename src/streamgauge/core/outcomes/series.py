"""Series: which shares of labelled events detectors follow."""

import numpy as np

from streamgauge.core.batch import Task
from streamgauge.core.detectors.series import Kind, Series, SeriesTable, shape_series
from streamgauge.core.layout import LABEL
from streamgauge.core.outcomes.layout import (
    ABSOLUTE_ERROR,
    CALIBRATION,
    ERROR,
    ESTIMATE_GAP,
    LOG_LOSS,
    PREDICTION_ERROR,
    WRONG,
    OutcomeLayout,
)
from streamgauge.core.reference import Reference

_YES = 1


def outcome_series(layout: OutcomeLayout, reference: Reference, *, calibrated: bool) -> SeriesTable:
    """Return the series of a reference's labelled events (`Reference.outcomes`).

    Of classifications the share that is predicted wrongly and, where scores are `calibrated` by
    the reference, how far that is above what the scores let expect; the classes of the labels; for
    each third of the scores how often they come true; of log-loss and of the size of a regression's
    errors the share above cuts; of its errors and labels their distributions.
    """
    whole = reference.block.counts[0].astype(np.int64)
    found: list[Series] = []
    for start, item in layout.watched:
        counts = whole[start : start + item.bins.width]
        end = start + item.bins.value_bins
        if item.subject == ERROR:
            run = (start + WRONG, start + WRONG + 1, start, end)
            found.append(Series(ERROR, Kind.WRONG, *run))
            if calibrated:
                found.append(Series(ESTIMATE_GAP, Kind.GAP, *run))
        elif item.subject in CALIBRATION:
            if counts[: item.bins.value_bins].any():
                run = (start + _YES, start + _YES + 1, start, end)
                found.append(Series(item.subject, Kind.TRUE, *run))
        elif item.subject in (LOG_LOSS, ABSOLUTE_ERROR):
            shapes = shape_series(start, item, counts)
            found += [s._replace(kind=Kind.LOSS) for s in shapes if s.kind is Kind.ABOVE]
        elif item.subject in (LABEL, PREDICTION_ERROR):
            found += shape_series(start, item, counts)
    gap = calibrated and layout.task is not Task.REGRESSION
    return SeriesTable(tuple(found), layout.expected if gap else None)
