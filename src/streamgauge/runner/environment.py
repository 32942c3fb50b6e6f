"""Environment: is there what a configuration needs, a broker that takes us in and its topics?

Nothing here joins the group, reads or writes an event. Access by transactional id cannot be tried
without taking it over from a monitor that runs, so it is not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streamgauge.config import Config
from streamgauge.errors import ConfigError, StreamgaugeError
from streamgauge.formats.plain_events import library
from streamgauge.io.kafka.admin import PATIENCE_S, Admin, RefusedError
from streamgauge.io.kafka.settings import unaccepted
from streamgauge.runner.checklist import Grade, Item, problems
from streamgauge.runner.topics import (
    HOUR_MS,
    access_items,
    inputs,
    missing_topics,
    needed,
    own_topics,
    policy_items,
    topic_items,
    traffic_items,
)


def client_items(config: Config) -> list[Item]:
    """Return how the Kafka client takes its settings; nothing is connected to."""
    try:
        settings = config.kafka.client_settings()
    except ConfigError as error:
        place = ("kafka", "security", "password_file")
        text = str(error).removeprefix("kafka.security.password_file: ")
        return [Item(Grade.WRONG, "kafka client:", text, "", place)]
    wrong = [
        Item(
            Grade.WRONG,
            "kafka client:",
            text if key is None else f"{key} {text}",
            "",
            config.kafka.place_of(key),
        )
        for key, text in unaccepted(settings)
    ]
    return wrong or [Item(Grade.OK, "kafka client:", "all settings are accepted")]


def reader_items() -> list[Item]:
    """Return a note where events are read slower than they could be."""
    if library() is not None:
        return []
    text = "without compiled code, a quarter as many a second"
    remedy = "install a C compiler (cc), then streamgauge again"
    return [Item(Grade.NOTE, "events in JSON are read", text, remedy)]


class Examined(NamedTuple):
    """How the broker and its topics were found.

    `messages` is how many events the prediction topics had in the last hour, None if unknown.
    """

    items: tuple[Item, ...]
    messages: int | None


def examine(config: Config, path: Path, now_ms: int, patience: float = PATIENCE_S) -> Examined:
    """Return how the broker and its topics were found, without changing anything there.

    `path` is the configuration's file, `now_ms` the time in ms since the epoch; every answer is
    waited for `patience` seconds at most.
    """
    items: list[Item] = []
    messages = None
    admin = _admin(config, patience)
    try:
        cluster = admin.cluster()
        count = "1 broker" if cluster.brokers == 1 else f"{cluster.brokers} brokers"
        items.append(
            Item(Grade.OK, f"broker {config.kafka.bootstrap_servers}", f"answers ({count})")
        )
        items += topic_items(config, cluster, path)
        ours = {topic for topic in own_topics(config) if topic in cluster.topics}
        read = {topic: n for topic, n in cluster.topics.items() if topic in inputs(config)}
        items += policy_items(config, admin.cleanup_policies(ours))
        operations = admin.topic_operations({*read, *ours})
        items += access_items(config, operations, admin.group_operations(config.group_id))
        events = {topic: n for topic, n in read.items() if topic in config.topics.predictions}
        if events:
            messages = admin.messages_since(events, now_ms - HOUR_MS, now_ms)
            items += traffic_items(config, messages)
    except StreamgaugeError as error:
        items.append(_unanswered(config, error))
    return Examined(tuple(items), messages)


def create_missing(config: Config, patience: float = PATIENCE_S) -> Iterator[Item]:
    """Create the topics of our own that are missing; yield which, or why it could not be done."""
    admin = _admin(config, patience)
    try:
        wanted = missing_topics(config, admin.cluster())
        admin.create(wanted)
    except StreamgaugeError as error:
        yield _unanswered(config, error)
    else:
        for topic in wanted:
            width, copies = topic.partitions, topic.replication
            text = f"was created (partitions: {width}, copies: {copies})"
            yield Item(Grade.OK, f"topic {topic.name}", text)


def require(
    config: Config, path: Path, patience: float = PATIENCE_S, *, split: bool = False
) -> list[Item]:
    """Return notes, on topics by a request for metadata; `split` roles need one topic more.

    What is missing is asked for again before it is said to be. Raises ConfigError where a setting
    or topic has to be changed before anything is joined or written, and StreamgaugeError where the
    broker is away; a line for each problem.
    """
    items = [item for item in client_items(config) if item.problem]
    if not items:
        try:
            cluster = _admin(config, patience).cluster_with(needed(config, split=split))
            items = [*reader_items(), *topic_items(config, cluster, path, split=split)]
        except StreamgaugeError as error:
            items = [_unanswered(config, error)]
    if (wrong := problems(items, path)) is not None:
        raise wrong
    return [item for item in items if item.grade is Grade.NOTE]


def _admin(config: Config, patience: float) -> Admin:
    return Admin(config.kafka.client_settings(), f"streamgauge-{config.app}-check", patience)


def _unanswered(config: Config, error: StreamgaugeError) -> Item:
    """Return the item of a question that the broker refused or did not answer."""
    subject = f"broker {config.kafka.bootstrap_servers}:"
    text = str(error).removeprefix("kafka: ")
    if isinstance(error, RefusedError):
        return Item(Grade.WRONG, subject, text, "", ("kafka",))
    return Item(Grade.FAILED, subject, text, "", ("kafka", "bootstrap_servers"))
