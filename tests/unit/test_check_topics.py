"""What is said of a cluster's topics, from what the cluster tells."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from streamgauge.config import Config
from streamgauge.io.kafka.admin import Cluster, TopicSpec
from streamgauge.runner.checklist import Grade, Item, located, problems
from streamgauge.runner.topics import (
    access_items,
    missing_topics,
    policy_items,
    topic_items,
    traffic_items,
)
from tests.support.config_files import SMALLEST, loaded

FILE = Path("streamgauge.yaml")
OWN = {"streamgauge.alerts": 1, "streamgauge.dead-letters": 6, "streamgauge.streamgauge.state": 1}
PARTIALS = "streamgauge.streamgauge.partials"
GOOD = {"predictions": 6, "labels": 6, **OWN}
EVERYTHING = frozenset({"read", "write", "describe"})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The smallest configuration."""
    return loaded(tmp_path, SMALLEST)


def looked_at(config: Config, topics: Mapping[str, int], brokers: int = 1) -> list[Item]:
    return list(topic_items(config, Cluster(brokers, topics), FILE))


def of(grade: Grade, items: Iterable[Item]) -> list[str]:
    return [item.sentence for item in items if item.grade is grade]


def test_topics_as_they_should_be_are_all_fine(config: Config) -> None:
    items = looked_at(config, GOOD)
    assert {item.grade for item in items} == {Grade.OK}
    assert [item.sentence for item in items] == [
        "topic predictions has 6 partitions",
        "topic labels has 6 partitions",
        "topic streamgauge.alerts has 1 partition",
        "topic streamgauge.dead-letters has 6 partitions",
        "topic streamgauge.streamgauge.state has 1 partition",
    ]
    assert problems(items, FILE) is None


@pytest.mark.parametrize("topic", ["predictions", *OWN])
def test_a_topic_that_is_missing_is_a_problem(config: Config, topic: str) -> None:
    rest = {name: count for name, count in GOOD.items() if name != topic}
    [item] = [item for item in looked_at(config, rest) if item.grade is not Grade.OK]
    assert item.grade is Grade.WRONG
    assert item.sentence.startswith(f"topic {topic} does not exist, or this user may not see it; ")
    ours = topic in OWN
    assert ("`streamgauge check -c streamgauge.yaml --create`" in item.remedy) == ours


def test_a_name_that_is_nearly_right_is_suggested(config: Config) -> None:
    [wrong] = of(Grade.WRONG, looked_at(config, {**OWN, "prediction": 3, "labels": 3}))
    assert wrong.endswith("did you mean prediction?")


def test_missing_labels_are_a_note_since_models_can_be_watched_without(config: Config) -> None:
    items = looked_at(config, {name: n for name, n in GOOD.items() if name != "labels"})
    assert of(Grade.WRONG, items) == []
    [note] = of(Grade.NOTE, items)
    assert note.startswith("topic labels does not exist, so there are no labels")


def test_labels_of_another_width_than_the_predictions_are_refused(config: Config) -> None:
    [wrong] = of(Grade.WRONG, looked_at(config, GOOD | {"labels": 4}))
    assert wrong == (
        "topic labels has 4 partitions, but predictions has 6, so labels would not meet their"
        " predictions; create it anew with 6 partitions"
    )


def test_predictions_of_several_widths_are_refused_only_if_there_are_labels(
    tmp_path: Path,
) -> None:
    topics = {"a": 3, "b": 5, **OWN}
    with_labels = loaded(tmp_path, f"{SMALLEST}topics: {{predictions: [a, b], labels: [c]}}\n")
    assert len(of(Grade.WRONG, looked_at(with_labels, topics | {"c": 3}))) == 1
    without = loaded(tmp_path, f"{SMALLEST}topics: {{predictions: [a, b], labels: []}}\n")
    assert of(Grade.WRONG, looked_at(without, topics)) == []


def test_a_state_topic_of_several_partitions_is_refused(config: Config) -> None:
    items = looked_at(config, GOOD | {"streamgauge.streamgauge.state": 4})
    [wrong] = of(Grade.WRONG, items)
    assert "has 4 partitions, but the state must have a single one; stop streamgauge" in wrong


def test_no_input_is_ever_created(config: Config) -> None:
    wanted = missing_topics(config, Cluster(1, {}))
    assert {topic.name for topic in wanted} == {*OWN, PARTIALS}


@pytest.mark.parametrize(("brokers", "copies"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_missing_topics_are_as_wide_and_safe_as_the_cluster_allows(
    config: Config, brokers: int, copies: int
) -> None:
    wanted = missing_topics(config, Cluster(brokers, {"predictions": 6, "labels": 5}))
    assert wanted == (
        TopicSpec("streamgauge.alerts", 1, copies),
        TopicSpec("streamgauge.dead-letters", 6, copies),
        TopicSpec("streamgauge.streamgauge.state", 1, copies, {"cleanup.policy": "compact"}),
        TopicSpec(PARTIALS, 1, copies, {"cleanup.policy": "delete", "retention.ms": "86400000"}),
    )


def test_the_topic_of_partials_is_missed_by_split_roles_alone(config: Config) -> None:
    cluster = Cluster(1, GOOD)
    assert of(Grade.WRONG, [*topic_items(config, cluster, FILE)]) == []
    [wrong] = of(Grade.WRONG, [*topic_items(config, cluster, FILE, split=True)])
    assert wrong.startswith(f"topic {PARTIALS} does not exist")


def test_a_topic_of_partials_of_several_partitions_is_refused(config: Config) -> None:
    [wrong] = of(Grade.WRONG, looked_at(config, GOOD | {PARTIALS: 3}))
    assert "has 3 partitions, but what workers have counted must have a single one" in wrong


def test_nothing_is_created_twice(config: Config) -> None:
    first = missing_topics(config, Cluster(3, {"predictions": 6}))
    there = {"predictions": 6} | {topic.name: topic.partitions for topic in first}
    assert missing_topics(config, Cluster(3, there)) == ()
    assert of(Grade.WRONG, looked_at(config, there, brokers=3)) == []


@pytest.mark.parametrize(
    ("policy", "grade"),
    [
        ("compact", None),
        ("delete", Grade.WRONG),
        ("compact,delete", Grade.WRONG),
        ("delete, compact", Grade.WRONG),
        (None, Grade.NOTE),
    ],
)
def test_the_state_topic_must_keep_the_last_of_every_key(
    config: Config, policy: str | None, grade: Grade | None
) -> None:
    items = list(policy_items(config, {"streamgauge.streamgauge.state": policy}))
    assert [item.grade for item in items] == ([] if grade is None else [grade])


def test_a_compacted_alert_topic_is_a_note(config: Config) -> None:
    policies = {"streamgauge.alerts": "compact", "streamgauge.dead-letters": "compact"}
    [item] = policy_items(config, policies)
    assert item.grade is Grade.NOTE
    assert item.place == ("topics", "alerts")


@pytest.mark.parametrize(
    ("topic", "denied", "words"),
    [
        ("predictions", "read", "read"),
        ("labels", "read", "read"),
        ("streamgauge.alerts", "write", "write"),
        ("streamgauge.dead-letters", "write", "write"),
        ("streamgauge.streamgauge.state", "read", "read"),
        ("streamgauge.streamgauge.state", "write", "write"),
        ("streamgauge.streamgauge.state", "read write", "read and write"),
    ],
)
def test_what_this_user_may_not_do_is_named_with_the_right_to_grant(
    config: Config, topic: str, denied: str, words: str
) -> None:
    operations = dict.fromkeys(GOOD, EVERYTHING)
    operations[topic] = EVERYTHING - set(denied.split())
    [item] = access_items(config, operations, EVERYTHING)
    assert item.grade is Grade.WRONG
    assert item.sentence == (
        f"topic {topic} does not let this user {words};"
        f" grant {words.title().replace(' And ', ' and ')} on it"
    )


def test_more_than_is_needed_is_not_asked_for(config: Config) -> None:
    read, write = frozenset({"read"}), frozenset({"write"})
    operations = {"predictions": read, "labels": read, "streamgauge.alerts": write}
    operations |= {"streamgauge.dead-letters": write}
    operations |= {"streamgauge.streamgauge.state": read | write}
    assert list(access_items(config, operations, read)) == []


def test_a_broker_that_does_not_tell_is_not_held_to_it(config: Config) -> None:
    assert list(access_items(config, dict.fromkeys(GOOD), None)) == []


def test_a_group_that_may_not_be_joined_is_a_problem(config: Config) -> None:
    [item] = access_items(config, {}, frozenset({"describe"}))
    assert item.sentence == (
        "group streamgauge.streamgauge does not let this user in; grant Read on the group"
    )


def test_windows_that_traffic_cannot_fill_are_named(tmp_path: Path) -> None:
    config = loaded(tmp_path, f"{SMALLEST}    windows: [1m, 5m, 1h]\n    min_samples: 200\n")
    # 2,399 events an hour are 199.9 in five minutes, 40 in one.
    ok, note = traffic_items(config, 2_399)
    assert ok.sentence == "topic predictions has had 2,399 events in the last hour"
    assert note.place == ("models", "churn", "windows", 1)
    assert "windows up to 5m: at most 200 events at the last hour's rate" in note.text
    assert [item.grade for item in traffic_items(config, 12_000)] == [Grade.OK]


def test_a_topic_without_traffic_is_a_note_and_unknown_traffic_is_nothing(config: Config) -> None:
    [item] = traffic_items(config, 0)
    assert item.grade is Grade.NOTE
    assert list(traffic_items(config, None)) == []


def test_problems_carry_their_line_and_the_graver_exit_code(tmp_path: Path) -> None:
    text = f"{SMALLEST}topics:\n  labels: [late]\n  alerts: mine\n"
    config = loaded(tmp_path, text)
    path = tmp_path / "streamgauge.yaml"
    items = list(topic_items(config, Cluster(1, {"predictions": 2, "late": 3}), path))
    error = problems(items, path)
    assert error is not None
    assert error.exit_code == 78
    lines = str(error).splitlines()
    assert lines[0].startswith(f"{path}:7: topics.labels[0]: topic late has 3 partitions")
    assert lines[1].startswith(f"{path}:8: topics.alerts: topic mine does not exist")
    away = Item(Grade.FAILED, "broker b:1:", "no answer", "", ("kafka", "bootstrap_servers"))
    alone = problems([away], path)
    assert alone is not None
    assert alone.exit_code == 1
    assert str(alone) == f"{path}:1: kafka.bootstrap_servers: broker b:1: no answer"
    both = problems([away, items[-1]], path)
    assert both is not None
    assert both.exit_code == 78


def test_an_item_without_a_place_names_the_file() -> None:
    assert located(Item(Grade.NOTE, "it", "is so", "do that"), FILE) == (
        "streamgauge.yaml: it is so; do that"
    )
