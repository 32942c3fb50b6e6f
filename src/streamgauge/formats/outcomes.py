"""What a table's predictions, labels and scores are: the task, and the bins to count them in."""

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from streamgauge.core.batch import Task
from streamgauge.core.bins import Bins, NumericBins
from streamgauge.core.fitting import fit_categorical, fit_groups, fit_numeric, rounded
from streamgauge.core.layout import score_bins
from streamgauge.core.profiling import NumericSummary
from streamgauge.errors import DataError
from streamgauge.formats.frames import ColumnType
from streamgauge.formats.survey import MAX_CLASSES, OutcomeSurvey, Survey
from streamgauge.formats.table import TableOptions

FEW: Final = 20
"""Up to so many distinct whole numbers are taken for classes, more for numbers."""


class TaskGuess(NamedTuple):
    """A task, and what of the data tells it."""

    task: Task
    reason: str


def guess_task(survey: Survey, options: TableOptions) -> TaskGuess:
    """Tell from predictions and labels what the model does.

    Raises DataError where there are none, or where they do not go together.
    """
    found = survey.outcomes
    if not found:
        raise DataError(
            f"no column {options.prediction!r} or {options.label!r} that would tell the task; name"
            " one with --prediction-column or --label-column, or say --task"
        )
    numbers = [role for role, outcome in found.items() if outcome.is_number]
    if numbers and len(numbers) < len(found):
        raise DataError(_contradiction(found, numbers[0], options))
    if numbers:
        return TaskGuess(Task.REGRESSION, f"numbers in {' and '.join(numbers)}")
    classes = sorted(class_counts(survey))
    whole = all(outcome.type is ColumnType.NUMBERS for outcome in found.values())
    shown = ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
    if len(classes) <= 2:
        return TaskGuess(Task.BINARY, f"{len(classes)} classes: {shown}")
    if whole and len(classes) > FEW and survey.score is None:
        return TaskGuess(Task.REGRESSION, f"{len(classes)} distinct whole numbers")
    return TaskGuess(Task.MULTICLASS, f"{len(classes)} classes: {shown}")


def _contradiction(found: dict[str, OutcomeSurvey], numbers: str, options: TableOptions) -> str:
    names = {"prediction": options.prediction, "label": options.label}
    other = "label" if numbers == "prediction" else "prediction"
    summary = found[numbers].numeric
    clause = f"column {names[numbers]!r} holds numbers, but {names[other]!r} classes"
    if numbers == "prediction" and summary.minimum >= 0.0 and summary.maximum <= 1.0:
        return f"{clause}; if they are probabilities, say --score-column {names[numbers]}"
    return f"{clause}; say which is meant with --task, or name another column"


def class_counts(survey: Survey) -> Counter[str]:
    """Return how often each class occurs among predictions and labels together."""
    counts: Counter[str] = Counter()
    for outcome in survey.outcomes.values():
        counts.update(outcome.classes.counts)
    return counts


def outcome_bins(survey: Survey, task: Task, options: TableOptions) -> tuple[Bins, Bins]:
    """Return the bins of predictions and of labels; one stands in where the other is missing.

    Raises DataError where they do not fit the task.
    """
    found = survey.outcomes
    if task is not Task.REGRESSION:
        complete = all(outcome.classes.complete for outcome in found.values())
        bins = fit_categorical(
            class_counts(survey), complete=complete and bool(found), max_categories=MAX_CLASSES
        )
        return bins, bins
    names = {"prediction": options.prediction, "label": options.label}
    for role, outcome in found.items():
        if outcome.type not in {ColumnType.NUMBERS, ColumnType.NOTHING}:
            raise DataError(
                f"column {names[role]!r} holds {outcome.type}, but a regression predicts numbers;"
                " say another --task, or name another column"
            )
    fitted = {role: fit_summary(outcome.numeric) for role, outcome in found.items()}
    either = next(iter(fitted.values()), _unbounded())
    return fitted.get("prediction", either), fitted.get("label", either)


def fitted_score_bins(survey: Survey, options: TableOptions) -> NumericBins:
    """Return the bins of scores, grouped by the scores seen. Raises DataError for other numbers."""
    bins = score_bins()
    if survey.score is None or not survey.score.numeric.count:
        return score_bins(fit_groups(np.ones(bins.value_bins, np.int64)))
    summary = survey.score.numeric
    if summary.minimum < 0.0 or summary.maximum > 1.0:
        raise DataError(
            f"column {options.score!r} reaches from {summary.minimum:g} to {summary.maximum:g},"
            " but a score is a probability; name another one with --score-column, or leave it out"
            f" with --ignore {options.score}"
        )
    held = np.bincount(bins.assign(summary.sample.values()), minlength=bins.width)
    return score_bins(fit_groups(held[: bins.value_bins]), scale=rounded(summary.std) or 1.0)


def fit_summary(summary: NumericSummary) -> NumericBins:
    """Return bins for a numeric column from what was seen of it."""
    return fit_numeric(
        summary.sample.values(),
        minimum=summary.minimum,
        maximum=summary.maximum,
        mean=summary.mean,
        std=summary.std,
    )


def _unbounded() -> NumericBins:
    """Return bins in which any number is in range: nothing is known of it."""
    return NumericBins((-float(np.finfo(np.float64).max), float("inf")), (0,))
