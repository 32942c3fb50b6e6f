"""The first pass over a table: what its columns hold."""

from dataclasses import dataclass, field
from typing import Final

from streamgauge.core.batch import FeatureKind
from streamgauge.core.profiling import (
    CategorySummary,
    NumericSummary,
    RowKeys,
    UniformSample,
    sample_size,
)
from streamgauge.errors import DataError
from streamgauge.formats.frames import Column, ColumnType, Frame
from streamgauge.formats.table import TableOptions
from streamgauge.formats.table_events import Events, says_label_times

MAX_CLASSES: Final = 1_000
"""Distinct predictions or labels that are counted by name."""

KINDS: Final = {
    ColumnType.NUMBERS: FeatureKind.NUMERIC,
    ColumnType.TEXT: FeatureKind.CATEGORICAL,
    ColumnType.BOOLEANS: FeatureKind.BOOLEAN,
}


@dataclass(slots=True)
class ColumnSurvey:
    """What a feature's column holds.

    `kind` is None until a value shows it, and stays so for columns that cannot be counted.
    """

    kind: FeatureKind | None
    numeric: NumericSummary
    categories: CategorySummary = field(default_factory=CategorySummary)
    type: ColumnType = ColumnType.NOTHING
    nan: int = 0
    """NaN values, which are not missing ones."""


@dataclass(slots=True)
class OutcomeSurvey:
    """What the predictions or the labels are: classes, numbers, or either."""

    numeric: NumericSummary
    classes: CategorySummary
    type: ColumnType = ColumnType.NOTHING

    def add(self, column: Column, keys: RowKeys, rows: int) -> None:
        """Take some outcomes into account."""
        found = column.type
        if found is not ColumnType.NOTHING:
            mixed = self.type not in {found, ColumnType.NOTHING}
            self.type = ColumnType.MIXED if mixed else found
        if found is ColumnType.NUMBERS:
            self.numeric.add(column.numbers().values, keys.next(rows))
        if self.classes.complete:
            self.classes.add(column.texts())

    @property
    def is_number(self) -> bool:
        """Tell whether these are numbers that no class would be named by."""
        return self.type is ColumnType.NUMBERS and not (
            self.numeric.whole and self.classes.complete
        )


class Survey:
    """Looks at all events of a table.

    The samples of numeric columns are taken by rows' keys that do not depend on how the rows are
    divided into frames.
    """

    def __init__(self, options: TableOptions) -> None:
        self._options = options
        self._keys = RowKeys()
        self._outcome_keys = {"prediction": RowKeys(1), "label": RowKeys(2)}
        self._size = 0
        self.rows = 0
        self.untimed = 0
        self.others = 0
        self.models: set[str] = set()
        self.timed = True
        self.label_timed = False
        self.features: dict[str, ColumnSurvey] = {}
        self.score: ColumnSurvey | None = None
        self.has_class_scores = False
        self.tags: set[str] = set()
        self.outcomes: dict[str, OutcomeSurvey] = {}

    def add(self, rows: Events) -> None:
        """Take some events into account.

        Raises DataError where a feature is of another type than before.
        """
        self.rows += len(rows)
        self.untimed += rows.untimed
        self.others += rows.others
        self.models |= rows.models
        self.timed = self.timed and rows.times is not None
        self.label_timed = self.label_timed or says_label_times(rows)
        self.tags |= set(rows.tags)
        keys = self._keys.next(len(rows))
        self._size = self._size or sample_size(len(rows.features))
        for name, column in rows.features.items():
            survey = self.features.get(name)
            if survey is None:
                survey = self.features[name] = self._column(name)
            self._look(survey, name, column, rows.frame)
            if survey.kind is FeatureKind.NUMERIC:
                numbers = column.numbers()
                survey.nan += len(numbers.nan)
                survey.numeric.add(numbers.values, keys)
            elif survey.kind is FeatureKind.CATEGORICAL:
                survey.categories.add(column.texts())
        if rows.score is not None:
            self.score = self.score or self._column("")
            self.has_class_scores |= rows.score.type is ColumnType.OBJECTS
            if not self.has_class_scores:
                self.score.numeric.add(rows.score.numbers().values, keys)
        for role, outcome in (("prediction", rows.prediction), ("label", rows.label)):
            if outcome is not None:
                known = self.outcomes.get(role)
                if known is None:
                    known = self.outcomes[role] = OutcomeSurvey(
                        self._summary(), CategorySummary(MAX_CLASSES)
                    )
                known.add(outcome, self._outcome_keys[role], len(rows))

    def _column(self, name: str) -> ColumnSurvey:
        options = self._options
        kind = None
        if name in options.numeric:
            kind = FeatureKind.NUMERIC
        elif name in options.categorical:
            kind = FeatureKind.CATEGORICAL
        return ColumnSurvey(kind, self._summary())

    def _summary(self) -> NumericSummary:
        return NumericSummary(UniformSample(self._size))

    def _look(self, survey: ColumnSurvey, name: str, column: Column, frame: Frame) -> None:
        """Note the type of a column's values and infer its kind."""
        found = column.type
        options = self._options
        if name in options.numeric and found is ColumnType.TIMES:
            raise DataError(
                f"{frame.file}: column {name!r} holds {found}, which are not counted as numbers;"
                f" try --categorical {name} or --ignore {name}"
            )
        if found is ColumnType.NOTHING or survey.type is found:
            return
        before, survey.type = survey.type, found
        if name in options.numeric or name in options.categorical:
            return
        if found is ColumnType.MIXED or before is not ColumnType.NOTHING:
            raise DataError(_conflict(name, column, before, frame))
        survey.kind = KINDS.get(found)


def _conflict(name: str, column: Column, before: ColumnType, frame: Frame) -> str:
    row, found = column.odd_one(before)
    usual = "something else before" if before is ColumnType.NOTHING else before
    return (
        f"{frame.file}: column {name!r} holds {usual}, but {found} in row {frame.first + row:,};"
        f" say --numeric {name} or --categorical {name}, which counts the others as wrong, or leave"
        f" it out with --ignore {name}"
    )
