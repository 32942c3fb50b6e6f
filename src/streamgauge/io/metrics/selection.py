"""Selection: which rows and fields are exported when there is not room for all.

Order of preference: counts and window figures of whole versions, slices that are asked for or
have an alert, histograms of whole versions, then slices by traffic. Within each the busiest come
first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamgauge.core.slices import RowKey
from streamgauge.io.metrics.tables import Chosen, Table, Tier

SLICE_METRICS: Final = frozenset(
    {"accuracy", "precision", "recall", "f1", "auc", "log_loss", "macro_f1", "mae", "rmse"}
)
"""Performance figures that are published for slices, whatever the task."""


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """How many series are exported, and which come first.

    `models` holds caps of single models that differ from `per_model`. `allow` names slices by
    model, as `RowKey.label()` does (`carrier=UA,origin=EWR`). `measures`
    and `slice_measures` are the distances published for whole versions and for slices, `quantiles`
    the probabilities of the quantiles, `slice_metrics` the performance figures of slices, None for
    all that were computed: more would crowd out slices.
    """

    per_model: int = 2_000
    total: int = 20_000
    models: Mapping[str, int] = field(default_factory=dict)
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)
    measures: frozenset[str] | None = frozenset({"psi", "tvd", "wasserstein"})
    slice_measures: frozenset[str] | None = frozenset({"psi"})
    quantiles: frozenset[float] | None = frozenset({0.05, 0.5, 0.95})
    slice_metrics: frozenset[str] | None = SLICE_METRICS

    def of(self, model: str) -> int:
        """Return the cap of one model."""
        return self.models.get(model, self.per_model)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What could be exported of one model: versions and slices, busiest first, and their tables.

    `fixed` is the number of series that do not depend on rows.
    """

    fixed: int
    versions: Sequence[RowKey]
    slices: Sequence[RowKey]
    version_tables: Sequence[Table]
    slice_tables: Sequence[Table]

    @property
    def wanted(self) -> int:
        """Return the number of series if all were exported."""
        of_version = sum(len(table.columns) for table in self.version_tables)
        return self.fixed + len(self.versions) * of_version + len(self.slices) * self.slice_cost

    @property
    def slice_cost(self) -> int:
        """Return the number of series of one slice."""
        return sum(len(table.columns) for table in self.slice_tables)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported of one model: versions by tier, slices, and how many series that takes."""

    versions: Mapping[Tier, Sequence[Chosen]]
    slices: Chosen
    series: int


def select(candidates: Candidates, first: frozenset[RowKey], cap: int) -> Selection:
    """Choose what to export of one model within a cap; slices in `first` precede busier ones."""
    room = max(0, cap - candidates.fixed)
    versions: dict[Tier, list[Chosen]] = {}
    slices: list[RowKey] = []

    def take_versions(tier: Tier) -> None:
        nonlocal room
        versions[tier], room = _choose(candidates, tier, room)

    def take_slices(wanted: Sequence[RowKey]) -> None:
        nonlocal room
        taken = wanted[: room // max(1, candidates.slice_cost)]
        slices.extend(taken)
        room -= len(taken) * candidates.slice_cost

    take_versions(Tier.COUNTS)
    take_versions(Tier.WINDOWS)
    take_slices([key for key in candidates.slices if key in first])
    take_versions(Tier.HISTOGRAMS)
    take_slices([key for key in candidates.slices if key not in first])
    return Selection(versions, Chosen(tuple(slices)), cap - room)


def _choose(candidates: Candidates, tier: Tier, room: int) -> tuple[list[Chosen], int]:
    """Return the versions that fit in, whole or with some of their fields, and the room left."""
    costs: Counter[int] = Counter()
    for table in candidates.version_tables:
        if table.tier is tier:
            costs.update([position for position, _, _ in table.columns])
    whole = sum(costs.values())
    complete = candidates.versions[: room // whole] if whole else candidates.versions
    room -= whole * len(complete)
    chosen = [Chosen(tuple(complete))]
    for key in candidates.versions[len(complete) :]:
        fitting = set()
        for position, cost in costs.items():
            if cost <= room:
                fitting.add(position)
                room -= cost
        chosen.append(Chosen((key,), frozenset(fitting)))
    return chosen, room


def share(wanted: Sequence[int], total: int) -> list[int]:
    """Divide `total` so that no one gets more than wanted and the least is as large as can be."""
    shares = [0] * len(wanted)
    left = total
    smallest_first = sorted(range(len(wanted)), key=wanted.__getitem__)
    for done, i in enumerate(smallest_first):
        shares[i] = min(wanted[i], left // (len(wanted) - done))
        left -= shares[i]
    return shares
