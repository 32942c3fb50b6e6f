"""Outcomes in reference files: what they look like, and what is said of those that are damaged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest

from streamgauge.core.batch import Task
from streamgauge.core.outcomes.figures import confusion_counts_of, performance
from streamgauge.core.outcomes.layout import OutcomeLayout
from streamgauge.core.reference import Reference, ReferenceBuilder, merge_references
from streamgauge.core.timeline import HOURS_OF_WEEK
from streamgauge.errors import ReferenceFileError
from streamgauge.formats.reference_file import dump_reference, load_reference, reference_id
from streamgauge.formats.reference_sections import SUMS, count_sections, feature_sections
from tests.support import labelled_batches as drawn
from tests.support.references import assert_identical

TASKS = tuple(Task)


def build(
    task: Task, n: int = 400, seed: int = 1, *, label_times: bool = True, **options: Any
) -> Reference:
    builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES, positive=options.pop("of", ""))
    frame = drawn.draw(task, n, seed, **options)
    builder.add(drawn.batch(frame, task, label_times=label_times))
    return builder.finish()


def content(reference: Reference) -> dict[str, Any]:
    loaded = orjson.loads(dump_reference(reference))
    assert isinstance(loaded, dict)
    return loaded


def outcomes_of(reference: Reference) -> Reference:
    assert reference.outcomes is not None
    return reference.outcomes


@pytest.mark.parametrize("task", TASKS)
def test_every_count_and_sum_has_its_place_in_the_file(task: Task) -> None:
    layout = OutcomeLayout(drawn.layout(task))
    cells = np.zeros(layout.width, int)
    cells[: layout.watched.width] += 1
    sums = np.zeros(layout.sums, int)
    sums[: len(layout.watched.numeric)] += 1
    sums[layout.task_sums] += 1
    for _, section in count_sections(layout):
        cells[section] += 1
    for feature in feature_sections(layout):
        cells[feature.counts] += 1
        if feature.errors is not None:
            cells[feature.errors] += 1
        if feature.sums is not None:
            sums[feature.sums] += 1
    assert (cells == 1).all()
    assert (sums == 1).all()
    assert sum(SUMS[task].values()) == 2 * (layout.task_sums.stop - layout.task_sums.start)


@pytest.mark.parametrize("task", TASKS)
def test_a_file_gives_back_the_outcomes(task: Task) -> None:
    reference = build(task)
    assert_identical(load_reference(dump_reference(reference)), reference)


def test_people_can_read_the_outcomes() -> None:
    reference = build(Task.BINARY)
    outcomes = outcomes_of(reference)
    document = content(reference)["outcomes"]
    assert document["classes"] == ["0", "1"]
    layout = OutcomeLayout(reference.layout)
    confusion = confusion_counts_of(layout, outcomes.block)
    assert document["confusion"][0] == confusion[0].ravel().tolist()
    assert list(document["performance"]) == [
        "error_rate",
        "log_loss",
        "calibration_low",
        "calibration_middle",
        "calibration_high",
    ]
    errors = document["performance"]["error_rate"]
    assert errors["categories"] == ["right", "wrong"]
    wrong = int(confusion[0].sum() - np.trace(confusion[0]))
    assert errors["counts"][0] == [int(np.trace(confusion[0])), wrong]
    assert set(document["features"]) == {"x", "colour"}
    assert sum(document["features"]["colour"]["errors"][0]) == wrong
    assert document["time"]["first_ms"] == (outcomes.span or (0, 0))[0]


def test_the_derived_figures_are_those_of_the_whole_and_not_trusted() -> None:
    reference = build(Task.BINARY)
    document = content(reference)
    figures = performance(OutcomeLayout(reference.layout), outcomes_of(reference).block)
    shown = document["outcomes"]["derived"]
    assert shown["events"] == outcomes_of(reference).events
    for name in ("accuracy", "auc", "log_loss"):
        for limit in ("value", "lower", "upper"):
            expected = getattr(figures[name], limit)[0]
            assert shown["performance"][name][limit] == pytest.approx(expected, rel=1e-5)
    document["outcomes"]["derived"] = "anything"
    assert_identical(load_reference(orjson.dumps(document)), reference)


def test_features_are_counted_again_only_where_they_differ() -> None:
    full = build(Task.BINARY, trouble=False)
    assert "counts" not in content(full)["outcomes"]["features"]["x"]
    some = content(build(Task.BINARY))["outcomes"]["features"]["x"]
    assert len(some["counts"]) == len(some["errors"])


def test_hours_that_are_not_told_apart_take_one_number() -> None:
    reference = build(Task.BINARY, label_times=False)
    hours = outcomes_of(reference).hour_of_week
    assert hours is not None
    assert hours.shape[0] == HOURS_OF_WEEK
    document = content(reference)
    assert document["outcomes"]["time"]["hours_told_apart"] is False
    assert len(document["outcomes"]["performance"]["error_rate"]["hour_of_week"][0]) == 1
    assert "hours_told_apart" not in document["time"]
    assert_identical(load_reference(dump_reference(reference)), reference)
    assert "hours_told_apart" not in content(build(Task.BINARY))["outcomes"]["time"]


def test_a_file_of_before_there_were_outcomes_is_read() -> None:
    without = replace(build(Task.BINARY), outcomes=None)
    document = content(without)
    assert "outcomes" not in document
    assert "positive" not in document
    assert_identical(load_reference(orjson.dumps(document)), without)


def test_the_id_covers_outcomes() -> None:
    reference = build(Task.BINARY)
    outcomes = outcomes_of(reference)
    first = reference_id(reference)
    assert reference_id(replace(reference, outcomes=None)) != first
    assert reference_id(replace(reference, positive="0")) != first
    assert reference_id(replace(reference, outcomes=replace(outcomes, span=(0, 1)))) != first
    for name in ("counts", "sums"):
        changed = getattr(outcomes.block, name).copy()
        changed[(0,) * changed.ndim] += 1
        block = outcomes.block._replace(**{name: changed})
        assert reference_id(replace(reference, outcomes=replace(outcomes, block=block))) != first


def test_the_positive_class_is_kept() -> None:
    reference = build(Task.BINARY, of="0")
    document = content(reference)
    assert document["positive"] == "0"
    assert document["outcomes"]["classes"] == ["1", "0"]
    assert load_reference(dump_reference(reference)).positive == "0"


def test_small_slices_take_little_room() -> None:
    task = Task.MULTICLASS
    frame = drawn.draw(task, 2_000, 3)
    builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES)
    frame["colour"] = [f"colour {i % 500}" if i % 2 else "red" for i in range(len(frame))]
    builder.add(drawn.batch(frame, task))
    reference = builder.finish()
    before = len(dump_reference(replace(reference, outcomes=None)))
    assert len(dump_reference(reference)) < 3 * before


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("label_times", [True, False])
def test_merged_files_are_as_if_both_were_counted_at_once(task: Task, label_times: bool) -> None:
    frame = drawn.draw(task, 500, 4)
    found = []
    for parts in ([frame], [frame[:120], frame[120:]]):
        references = []
        for part in parts:
            builder = ReferenceBuilder(drawn.layout(task), drawn.SLICES)
            builder.add(drawn.batch(part, task, label_times=label_times))
            references.append(load_reference(dump_reference(builder.finish())))
        found.append(references)
    (whole,), (first, second) = found
    for merged in (merge_references(first, second), merge_references(second, first)):
        outcomes, expected = outcomes_of(merged), outcomes_of(whole)
        np.testing.assert_allclose(outcomes.block.sums, expected.block.sums, rtol=1e-9, atol=1e-9)
        block = outcomes.block._replace(sums=expected.block.sums)
        assert_identical(replace(outcomes, block=block), expected)


def test_a_part_without_labels_adds_nothing_to_outcomes() -> None:
    labelled = build(Task.BINARY)
    builder = ReferenceBuilder(drawn.layout(Task.BINARY), drawn.SLICES)
    frame = drawn.draw(Task.BINARY, 50, 9).assign(colour="green")
    builder.add(replace(drawn.batch(frame, Task.BINARY), label=None))
    for merged in (
        merge_references(labelled, builder.finish()),
        merge_references(builder.finish(), labelled),
    ):
        assert outcomes_of(merged).events == outcomes_of(labelled).events
        assert_identical(load_reference(dump_reference(merged)), merged)


def test_other_positive_classes_do_not_merge() -> None:
    first, second = (build(Task.BINARY, 50, of=of) for of in ("", "0"))
    with pytest.raises(ValueError, match=r"positive classes differ \(not said and 0\): profile bo"):
        merge_references(first, second)


Change = Callable[[dict[str, Any]], object]


def put(*path: str | int) -> Callable[[object], Change]:
    """A change that sets the value at a path of the outcomes."""

    def with_value(value: object) -> Change:
        def change(document: Any) -> None:
            found = document["outcomes"]
            for key in path[:-1]:
                found = found[key]
            found[path[-1]] = value

        return change

    return with_value


def drop(*path: str) -> Change:
    """A change that takes away what stands at a path of the outcomes."""

    def change(document: Any) -> None:
        found = document["outcomes"]
        for key in path[:-1]:
            found = found[key]
        del found[path[-1]]

    return change


def swap_positive(document: dict[str, Any]) -> None:
    document["positive"] = "0"


WRONG: dict[str, tuple[Change, str]] = {
    "no object": (lambda d: d.update(outcomes=[1]), r"^outcomes: Expected object, got array"),
    "no label": (drop("label"), r"^outcomes: .*missing required field label"),
    "no log-loss": (drop("performance", "log_loss"), r"^outcomes\.performance\.log_loss: is miss"),
    "a feature too few": (drop("features", "x"), r"^outcomes\.features\.x: is missing"),
    "other classes": (put("classes")(["0", "2"]), r"^outcomes\.classes: must be \[0, 1\]"),
    "another positive class": (swap_positive, r"^outcomes\.classes: must be \[1, 0\]"),
    "a list too few": (
        put("confusion")([[1, 2]]),
        r"^outcomes\.confusion: must be \d lists, one per entry of slices\.rows; make it again",
    ),
    "no histogram": (drop("scores_came_true"), r"^outcomes\.scores_came_true: must be \d lists"),
    "a negative count": (
        put("confusion", 0, 1)(-1),
        r"^outcomes\.confusion\[0\]\[1\]: Expected `?int`? >= 0",
    ),
    "a list too long": (
        put("confusion", 0)([1] * 5),
        r"^outcomes\.confusion: a list has 5 entries, 4 at most fit",
    ),
    "text for a sum": (
        put("sums", "score", 0, 0)("x"),
        r"^outcomes\.sums\[\.\.\.\]\[0\]\[0\]: Expected float, got str",
    ),
    "sums too few": (put("sums", "score")([]), r"^outcomes\.sums\.score: must be \d lists"),
    "text for an error": (
        put("features", "x", "errors", 0, 0)("x"),
        r"^outcomes\.features\.x\.errors\[0\]\[0\]: Expected int, got str",
    ),
    "errors too few": (
        put("features", "colour", "errors")([]),
        r"^outcomes\.features\.colour\.errors: must be \d lists",
    ),
    "other bins": (
        put("performance", "log_loss", "edges", 2)(0.0051),
        r"^outcomes\.performance\.log_loss: has other bins than this version",
    ),
    "a kind unknown": (
        put("performance", "error_rate", "kind")("fuzzy"),
        r"^outcomes\.performance\.error_rate\.kind: Invalid value 'fuzzy'",
    ),
    "fields too few": (
        put("performance", "error_rate", "counts")([]),
        r"^outcomes\.performance\.error_rate\.counts: must be \d lists",
    ),
    "panes in disorder": (put("time", "panes")([3, 2]), r"^outcomes\.time: .*panes must ascend"),
    "groups over time": (
        put("performance", "error_rate", "panes")([[1]]),
        r"^outcomes\.performance\.error_rate\.panes: must be \d lists",
    ),
    "no such zone": (put("time", "timezone")("Mars/Utopia"), r"^outcomes\.time\.timezone: 'Mars"),
    "a changed count": (put("confusion", 0, 0)(9_999), r"^id: the content is not what"),
    "nothing any more": (lambda d: d.pop("outcomes"), r"^id: the content is not what"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_named_with_its_place(change: Change, message: str) -> None:
    document = content(build(Task.BINARY, 60))
    change(document)
    with pytest.raises(ReferenceFileError, match=message):
        load_reference(orjson.dumps(document))


def test_a_scale_of_labels_that_cannot_be_is_named() -> None:
    document = content(build(Task.REGRESSION, 60))
    document["label"]["scale"] = 0.0
    with pytest.raises(ReferenceFileError, match=r"^label\.scale: .* positive and finite"):
        load_reference(orjson.dumps(document))


def test_edges_that_another_machine_computed_are_the_same() -> None:
    reference = build(Task.REGRESSION, 60)
    document = content(reference)
    edges = document["outcomes"]["performance"]["absolute_error"]["edges"]
    edges[3] = float(np.nextafter(edges[3], 1e9))
    assert_identical(load_reference(orjson.dumps(document)), reference)
