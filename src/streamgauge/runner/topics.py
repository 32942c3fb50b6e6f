"""Topics: what a configuration needs of a cluster, and what it lacks.

Nothing is asked here: these are functions of what `Admin` was told.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from streamgauge.config import Config, format_duration
from streamgauge.config.places import Place
from streamgauge.io.kafka.admin import Cluster, Operations, TopicSpec
from streamgauge.runner.checklist import Grade, Item

_FOR_A_DAY: Final = {"cleanup.policy": "delete", "retention.ms": "86400000"}
"""Partials are read within seconds, unless the process that reads them is away."""
_COMPACT: Final = {"cleanup.policy": "compact"}
_MOST_COPIES: Final = 3
HOUR_MS: Final = 3_600_000
"""Traffic is that of the last hour."""


def inputs(config: Config) -> dict[str, Place]:
    """Return the topics that are read, with their places; those of predictions first."""
    return {
        topic: ("topics", name, index)
        for name in ("predictions", "labels")
        for index, topic in enumerate(getattr(config.topics, name))
    }


def own_topics(config: Config) -> dict[str, Place]:
    """Return the topics that streamgauge writes, with their places."""
    return {
        config.topics.alerts: ("topics", "alerts"),
        config.topics.dead_letters: ("topics", "dead_letters"),
        config.state_topic: ("topics", "state"),
    }


def partials_topic(config: Config) -> dict[str, Place]:
    """Return the topic that is written and read with split roles alone, with its place."""
    return {config.partials_topic: ("topics", "partials")}


def needed(config: Config, *, split: bool = False) -> frozenset[str]:
    """Return the topics without which nothing runs; `split` roles need one more."""
    ours = own_topics(config) | (partials_topic(config) if split else {})
    return frozenset({*config.topics.predictions, *ours})


def topic_items(
    config: Config, cluster: Cluster, path: Path, *, split: bool = False
) -> Iterator[Item]:
    """Yield how each topic was found; `path` is the configuration's file, for remedies.

    `split` roles need the topic of partials; where it exists, it is looked at all the same.
    """
    topics = cluster.topics
    single = {config.state_topic: "the state", config.partials_topic: "what workers have counted"}
    ours = own_topics(config)
    if split or config.partials_topic in topics:
        ours |= partials_topic(config)
    for topic, place in inputs(config).items():
        if topic in topics:
            yield _width(config, topics, topic, place)
        elif topic in config.topics.labels:
            yield Item(
                Grade.NOTE,
                f"topic {topic}",
                "does not exist, so there are no labels and no performance is measured",
                "create it as wide as the predictions, or write labels: [] below topics",
                place,
            )
        else:
            yield _missing_input(topics, topic, place)
    for topic, place in ours.items():
        if topic not in topics:
            remedy = f"create it with `streamgauge check -c {path} --create`"
            yield Item(Grade.WRONG, f"topic {topic}", _ABSENT, remedy, place)
        elif topic in single and topics[topic] != 1:
            yield Item(
                Grade.WRONG,
                f"topic {topic}",
                f"has {topics[topic]} partitions, but {single[topic]} must have a single one",
                f"stop streamgauge, delete it, and run `streamgauge check -c {path} --create`",
                place,
            )
        else:
            yield Item(Grade.OK, f"topic {topic}", f"has {_partitions(topics[topic])}", "", place)


_ABSENT: Final = "does not exist, or this user may not see it"


def _width(config: Config, topics: Mapping[str, int], topic: str, place: Place) -> Item:
    """Return the item of an input that exists: all must be as wide as the first."""
    first = next(name for name in inputs(config) if name in topics)
    width = topics[topic]
    # Without labels nothing is joined, so that nothing has to meet in one partition.
    if config.topics.labels and width != topics[first]:
        return Item(
            Grade.WRONG,
            f"topic {topic}",
            f"has {_partitions(width)}, but {first} has {topics[first]}, so labels would not meet"
            " their predictions",
            f"create it anew with {_partitions(topics[first])}",
            place,
        )
    return Item(Grade.OK, f"topic {topic}", f"has {_partitions(width)}", "", place)


def _missing_input(topics: Mapping[str, int], topic: str, place: Place) -> Item:
    close = difflib.get_close_matches(topic, topics, n=1, cutoff=0.75)
    remedy = (
        f"did you mean {close[0]}?"
        if close
        else "correct its name, or create it with as many partitions as its events need"
    )
    return Item(Grade.WRONG, f"topic {topic}", _ABSENT, remedy, place)


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"


def missing_topics(config: Config, cluster: Cluster) -> tuple[TopicSpec, ...]:
    """Return the topics of our own to create: none of those that are read.

    Alerts are few and stay in order in one partition. Dead letters get as many as the widest
    input, whose stream may all end up there.
    """
    widest = max((cluster.topics[t] for t in inputs(config) if t in cluster.topics), default=1)
    copies = min(_MOST_COPIES, max(1, cluster.brokers))
    wanted = (
        TopicSpec(config.topics.alerts, 1, copies),
        TopicSpec(config.topics.dead_letters, widest, copies),
        TopicSpec(config.state_topic, 1, copies, _COMPACT),
        TopicSpec(config.partials_topic, 1, copies, _FOR_A_DAY),
    )
    return tuple(topic for topic in wanted if topic.name not in cluster.topics)


def policy_items(config: Config, policies: Mapping[str, str | None]) -> Iterator[Item]:
    """Yield what is to be said of the `cleanup.policy` of topics that exist."""
    state = config.state_topic
    for topic, place in own_topics(config).items():
        if topic not in policies:
            continue
        policy = policies[topic]
        words = set() if policy is None else {word.strip() for word in policy.split(",")}
        if policy is None and topic == state:
            yield Item(
                Grade.NOTE,
                f"topic {topic}",
                "may not be compacted: this broker does not tell its settings",
                "make sure that its cleanup.policy is compact",
                place,
            )
        elif topic == state and words != {"compact"}:
            yield Item(
                Grade.WRONG,
                f"topic {topic}",
                f"has cleanup.policy={policy}, by which the broker would delete state",
                f"set it: kafka-configs.sh --alter --entity-type topics --entity-name {topic}"
                " --add-config cleanup.policy=compact",
                place,
            )
        elif topic == config.topics.alerts and words == {"compact"}:
            yield Item(
                Grade.NOTE,
                f"topic {topic}",
                "is compacted, so that of every alert the last revision alone is kept",
                "set cleanup.policy=delete to keep them all",
                place,
            )


def access_items(
    config: Config, operations: Mapping[str, Operations], group: Operations
) -> Iterator[Item]:
    """Yield what this user may not do and must; nothing is said where the broker does not tell."""
    read, write = {"read"}, {"write"}
    needed = dict.fromkeys(inputs(config), read)
    needed |= {config.topics.alerts: write, config.topics.dead_letters: write}
    needed[config.state_topic] = read | write
    places = inputs(config) | own_topics(config)
    for topic, wanted in needed.items():
        allowed = operations.get(topic)
        denied = set() if allowed is None else wanted - allowed
        if denied:
            words = " and ".join(sorted(denied))
            yield Item(
                Grade.WRONG,
                f"topic {topic}",
                f"does not let this user {words}",
                f"grant {words.title().replace('And', 'and')} on it",
                places[topic],
            )
    if group is not None and "read" not in group:
        yield Item(
            Grade.WRONG,
            f"group {config.group_id}",
            "does not let this user in",
            "grant Read on the group",
            ("app",),
        )


def traffic_items(config: Config, messages: int | None) -> Iterator[Item]:
    """Yield what it means for windows that the prediction topics got `messages` in an hour.

    A topic may carry several models, so that none has more than all of it.
    """
    if messages is None:
        return
    names = ", ".join(config.topics.predictions)
    if not messages:
        text = "has had no new events in the last hour"
        yield Item(Grade.NOTE, f"topic {names}", text, "are the services running?")
        return
    yield Item(Grade.OK, f"topic {names}", f"has had {messages:,} events in the last hour")
    for name, model in config.models.items():
        thin = [w for w in model.windows if messages * w / HOUR_MS < model.min_samples]
        if thin:
            most = messages * thin[-1] / HOUR_MS
            yield Item(
                Grade.NOTE,
                f"model {name}",
                f"has too little traffic for windows up to {format_duration(thin[-1])}: at most"
                f" {most:,.0f} events at the last hour's rate, and detectors wait for"
                f" {model.min_samples:,}",
                "use longer windows, or lower min_samples",
                ("models", name, "windows", len(thin) - 1),
            )
