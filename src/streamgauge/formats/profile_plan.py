"""What a reference will count: fitted to a table's survey, or taken from another reference."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamgauge.core.batch import FeatureKind, ModelSchema, Task
from streamgauge.core.bins import Bins, CategoricalBins
from streamgauge.core.fitting import fit_categorical
from streamgauge.core.layout import FeatureSpec, Layout, build_layout
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference
from streamgauge.core.slices import Dimension, SliceSpec
from streamgauge.errors import DataError, UsageError
from streamgauge.formats.frames import ColumnType
from streamgauge.formats.outcomes import (
    class_counts,
    fit_summary,
    fitted_score_bins,
    guess_task,
    outcome_bins,
)
from streamgauge.formats.survey import ColumnSurvey, Survey
from streamgauge.formats.table import TableOptions
from streamgauge.formats.table_events import Events, says_label_times

FEW_DISTINCT: Final = 20
"""Whole numbers with no more distinct values than this may be codes, which readers are told."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is counted, and what readers should know of it.

    `label_timed` tells whether the data say when labels became known, `positive` is the positive
    class of a binary model where it was said. `class_scores` are columns with the probabilities of
    the classes, by class. `notes` are remarks by column, `remarks` those on the whole.
    """

    layout: Layout
    slices: tuple[SliceSpec, ...]
    timed: bool
    label_timed: bool = False
    positive: str = ""
    class_scores: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def fit_plan(
    survey: Survey,
    options: TableOptions,
    slices: tuple[SliceSpec, ...],
    *,
    model: str,
    task: Task | None,
    positive: str = "",
) -> Plan:
    """Fit bins to all that a table holds.

    Raises DataError where it holds nothing to count, UsageError for slices that cannot be taken and
    for a positive class that is none of the data's.
    """
    remarks = []
    if task is None:
        task, reason = guess_task(survey, options)
        remarks.append(f"task {task}: {reason} (--task says otherwise)")
    if positive:
        _check_positive(positive, task, class_counts(survey))
    prediction, label = outcome_bins(survey, task, options)
    class_scores = {}
    if task is not Task.REGRESSION and survey.score is None:
        class_scores = _class_score_columns(survey, options, class_counts(survey))
    specs = {
        name: FeatureSpec(name, column.kind, _bins(column))
        for name, column in survey.features.items()
        if column.kind is not None and name not in class_scores.values()
    }
    if not specs:
        raise DataError("no feature columns: every column is a prediction, a label or ignored")
    by_kind = {
        kind: tuple(name for name, spec in specs.items() if spec.kind is kind)
        for kind in FeatureKind
    }
    schema = ModelSchema(
        model=model,
        task=task,
        numeric=by_kind[FeatureKind.NUMERIC],
        categorical=by_kind[FeatureKind.CATEGORICAL],
        boolean=by_kind[FeatureKind.BOOLEAN],
        tags=_tags(slices, specs, survey.tags | options.tags),
        classes=prediction.categories
        if task is Task.MULTICLASS and isinstance(prediction, CategoricalBins)
        else (),
    )
    check_slices(slices, schema)
    score = None if task is Task.REGRESSION else fitted_score_bins(survey, options)
    layout = build_layout(
        schema, tuple(specs.values()), prediction=prediction, label=label, score=score
    )
    notes = {name: note for name, c in survey.features.items() if (note := _note(c))}
    return Plan(
        layout,
        slices,
        survey.timed,
        survey.label_timed,
        positive,
        class_scores,
        notes,
        tuple(remarks),
    )


def reuse_plan(
    reference: Reference,
    first: Events,
    slices: tuple[SliceSpec, ...],
    *,
    positive: str = "",
) -> Plan:
    """Count in the bins of another reference, and in its slices unless others are given.

    `first` are the table's first events, which show its columns. Raises UsageError for slices that
    cannot be taken and for another positive class.
    """
    layout = reference.layout
    schema = layout.schema
    slices = slices or reference.slices
    check_slices(slices, schema)
    if positive and positive != _positive_of(reference):
        raise UsageError(
            f"--positive: the reference takes {_positive_of(reference) or 'no class'} for positive,"
            f" not {positive}; leave out one of --positive and --edges-from"
        )
    known = {*schema.numeric, *schema.categorical, *schema.boolean, *schema.tags}
    notes = {
        name: "not in the reference: not counted" for name in first.features if name not in known
    }
    return Plan(
        layout,
        slices,
        timed=first.times is not None,
        label_timed=says_label_times(first),
        positive=reference.positive,
        notes=notes,
    )


def check_columns(reference: Reference, names: set[str]) -> None:
    """Raise DataError where a table lacks a column that a reference counts."""
    schema = reference.layout.schema
    for name in (*schema.numeric, *schema.categorical, *schema.boolean, *schema.tags):
        if name not in names:
            raise DataError(
                f"the reference counts {name!r}, which the table lacks{like(name, names)}"
            )


def check_slices(slices: Sequence[SliceSpec], schema: ModelSchema) -> None:
    """Raise UsageError for a slice by something that is not there or cannot be sliced by."""
    texts = {*schema.categorical, *schema.boolean, *schema.tags}
    for spec in slices:
        for dimension in spec.dimensions:
            name = dimension.name
            if dimension.bounds and name in texts:
                raise UsageError(f"slice {spec.name!r}: {name} is text; leave out the cut points")
            if dimension.bounds and name not in schema.numeric:
                raise UsageError(_unknown_slice(spec, dimension, schema.numeric))
            if not dimension.bounds and name in schema.numeric:
                raise UsageError(
                    f"slice {spec.name!r}: {name} is numeric; cut it at points, such as"
                    f" {name}:10:100, or say --categorical {name}"
                )
            if not dimension.bounds and name not in texts:
                raise UsageError(_unknown_slice(spec, dimension, texts))


def check_names(options: TableOptions, names: set[str]) -> None:
    """Raise UsageError for an option that names a column which is not there."""
    defaults = TableOptions()
    named = [
        *(("--numeric", name) for name in options.numeric),
        *(("--categorical", name) for name in options.categorical),
        *(("--ignore", name) for name in options.ignored),
        *(("--tag", name) for name in options.tags),
    ]
    for role in ("prediction", "score", "label", "timestamp", "label_timestamp"):
        name = getattr(options, role)
        if name != getattr(defaults, role):
            named.append((f"--{role.replace('_', '-')}-column", name))
    for option, name in named:
        if name not in names:
            raise UsageError(f"{option}: there is no column {name!r}{like(name, names)}")
    both = options.numeric & options.categorical
    if both:
        raise UsageError(f"--numeric and --categorical both name {min(both)!r}; keep one of them")


def like(name: str, names: Iterable[str]) -> str:
    """Return the end of a message: the name that was probably meant, or all names."""
    close = difflib.get_close_matches(name, list(names), 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    known = sorted(names)
    return f"; there are {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"


def _check_positive(positive: str, task: Task, classes: Collection[str]) -> None:
    if task is not Task.BINARY:
        raise UsageError(f"--positive: the task is {task}, but only binary ones have such a class")
    if positive not in classes:
        raise UsageError(
            f"--positive: the data never hold the class {positive!r}{like(positive, classes)}"
        )


def _positive_of(reference: Reference) -> str:
    """Return the class that a reference takes for positive, nothing where it has none."""
    if reference.layout.schema.task is not Task.BINARY:
        return ""
    return OutcomeLayout(reference.layout, reference.positive).classes[1]


def _unknown_slice(spec: SliceSpec, dimension: Dimension, names: Iterable[str]) -> str:
    return (
        f"slice {spec.name!r}: there is no column {dimension.name!r} to slice by"
        f"{like(dimension.name, names)}"
    )


def _tags(
    slices: Sequence[SliceSpec], features: Mapping[str, FeatureSpec], tags: set[str]
) -> tuple[str, ...]:
    wanted = {dimension.name for spec in slices for dimension in spec.dimensions}
    return tuple(sorted((wanted & tags) - features.keys()))


def _class_score_columns(
    survey: Survey, options: TableOptions, classes: Iterable[str]
) -> dict[str, str]:
    """Return the columns `score_<class>`, by class, if there is one for every class."""
    columns = {class_: f"{options.score}_{class_}" for class_ in classes}
    found = [
        name in survey.features and survey.features[name].kind is FeatureKind.NUMERIC
        for name in columns.values()
    ]
    return columns if columns and all(found) else {}


def _bins(column: ColumnSurvey) -> Bins:
    match column.kind:
        case FeatureKind.NUMERIC:
            return fit_summary(column.numeric)
        case FeatureKind.BOOLEAN:
            return CategoricalBins(("false", "true"))
        case _:
            return fit_categorical(column.categories.counts, complete=column.categories.complete)


def _note(column: ColumnSurvey) -> str:
    """Return what readers should know of a column, or nothing."""
    match column.kind:
        case None if column.type is ColumnType.NOTHING:
            return "no values: not counted"
        case None if column.type is ColumnType.TIMES:
            return f"{column.type}: not counted; --categorical to count as text"
        case None:
            return f"{column.type}: not counted"
        case FeatureKind.NUMERIC:
            return _numeric_note(column)
        case FeatureKind.CATEGORICAL if not column.categories.complete:
            return f"over {len(column.categories.counts):,} values: an id? --ignore to leave out"
        case FeatureKind.CATEGORICAL if len(column.categories.counts) == 1:
            return "one value"
        case _:
            return ""


def _numeric_note(column: ColumnSurvey) -> str:
    if column.nan:
        return f"{column.nan:,} NaN: --nan-is-missing if they stand for missing values"
    summary = column.numeric
    if not summary.count:
        return "no values"
    if summary.minimum == summary.maximum:
        return "one value"
    distinct = len(np.unique(summary.sample.values()))
    if summary.whole and distinct <= FEW_DISTINCT:
        return f"{distinct} whole numbers: --categorical if they are codes"
    return ""
