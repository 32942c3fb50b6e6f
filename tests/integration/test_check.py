"""`streamgauge check` and the start of `run` against brokers: topics, access, a broker away."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamgauge.cli import check as check_command
from streamgauge.config import load
from streamgauge.errors import StreamgaugeError
from streamgauge.io.kafka.admin import Admin, RefusedError, TopicSpec
from streamgauge.io.kafka.errors import BrokerError
from streamgauge.io.loopback import HOST, free_port
from streamgauge.runner.checklist import Grade
from streamgauge.runner.environment import create_missing, examine, require
from tests.support.apache_kafka import EXTERNAL_BOOTSTRAP, why_unavailable
from tests.support.brokers import Broker
from tests.support.commands import Called, call_main
from tests.support.guarded_kafka import GuardedKafka
from tests.support.made_up_model import write_config
from tests.support.topics import create_topics, unique_name

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Stage:
    """A configuration with topics of the test's own, none of which exists yet."""

    path: Path
    bootstrap: str
    name: str

    @classmethod
    def at(
        cls, bootstrap: str, folder: Path, *, labels: bool = True, kafka: str | None = None
    ) -> "Stage":
        name = unique_name("check")
        own = f"[{name}.labels]" if labels else "[]"
        topics = (
            f"app: {name}\ntopics:\n  predictions: [{name}.predictions]\n  labels: {own}\n"
            f"  alerts: {name}.alerts\n  dead_letters: {name}.dead"
        )
        path = write_config(folder, broker=bootstrap, more=topics)
        if kafka is not None:
            head, _, rest = path.read_text().partition("\n")
            path.write_text(f"{head.removesuffix('}')}, {kafka}}}\n{rest}")
        return cls(path, bootstrap, name)

    @property
    def state(self) -> str:
        return f"streamgauge.{self.name}.state"

    def topics(self) -> dict[str, int]:
        """Return the stage's topics that exist, with their partitions."""
        found = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=10).topics
        return {name: len(t.partitions) for name, t in found.items() if self.name in name}

    def create(self, **partitions: int) -> None:
        create_topics(self.bootstrap, {f"{self.name}.{k}": n for k, n in partitions.items()})

    def check(self, *options: str) -> Called:
        return call_main("check", "-c", str(self.path), *options)


@pytest.fixture
def stage(broker: Broker, tmp_path: Path) -> Stage:
    """A stage on each of the two brokers."""
    return Stage.at(broker.bootstrap_servers, tmp_path)


def test_missing_topics_are_named_and_not_made_by_asking(stage: Stage) -> None:
    code, output, errors = stage.check()
    assert code == 78
    assert f"ok: broker {stage.bootstrap} answers (1 broker)" in output
    assert f"topics.labels[0]: topic {stage.name}.labels does not exist, so there are" in output
    places = ["topics.predictions[0]", "topics.alerts", "topics.dead_letters", "topics.state"]
    assert [error.split(": ")[2] for error in errors] == places
    assert all("does not exist, or this user may not see it" in error for error in errors)
    assert all("--create`" in error for error in errors[1:])
    assert stage.topics() == {}


def test_created_topics_are_as_they_should_be_and_created_once(stage: Stage) -> None:
    stage.create(predictions=3, labels=3)
    code, output, errors = stage.check("--create")
    assert (code, errors) == (0, [])
    assert output.count("was created") == 4
    made = {f"{stage.name}.alerts": 1, f"{stage.name}.dead": 3, stage.state: 1}
    made[f"streamgauge.{stage.name}.partials"] = 1
    assert stage.topics() == made | {f"{stage.name}.{k}": 3 for k in ("predictions", "labels")}
    for options in (("--create",), ()):
        code, again, errors = stage.check(*options)
        assert (code, errors) == (0, [])
        assert "was created" not in again
        assert f"ok: topic {stage.state} has 1 partition" in again
    policies = Admin({"bootstrap.servers": stage.bootstrap}, "test").cleanup_policies(
        stage.topics()
    )
    assert policies[stage.state] == "compact"
    assert policies[f"{stage.name}.alerts"] in ("delete", None)


def test_creating_makes_no_input(stage: Stage) -> None:
    code, _, [error] = stage.check("--create")
    assert code == 78
    assert f"topic {stage.name}.predictions does not exist" in error
    partials = f"streamgauge.{stage.name}.partials"
    ours = {f"{stage.name}.alerts", f"{stage.name}.dead", stage.state, partials}
    assert set(stage.topics()) == ours


def test_labels_of_another_width_are_refused_by_check_and_run(stage: Stage) -> None:
    stage.create(predictions=3, labels=4)
    code, _, [error] = stage.check("--create")
    assert code == 78
    assert error.startswith(f"error: {stage.path}:5: topics.labels[0]: topic {stage.name}.labels")
    assert "has 4 partitions, but " in error
    assert "create it anew with 3 partitions" in error
    code, errors = start_run(stage)
    assert (code, errors) == (78, [error])


def test_a_wide_state_topic_is_refused(stage: Stage) -> None:
    stage.create(predictions=1, labels=1)
    create_topics(stage.bootstrap, {stage.state: 4}, {"cleanup.policy": "compact"})
    code, _, [error] = stage.check("--create")
    assert code == 78
    assert "has 4 partitions, but the state must have a single one" in error


def start_run(stage: Stage) -> tuple[int, list[str]]:
    """Start the monitor, which should refuse; return its exit code and lines of errors."""
    ended = subprocess.run(
        [sys.executable, "-m", "streamgauge", "run", "-c", str(stage.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr.splitlines()


def test_run_refuses_to_start_without_its_topics_and_makes_none(stage: Stage) -> None:
    code, errors = start_run(stage)
    assert code == 78
    assert len(errors) == 4
    assert all(error.startswith(f"error: {stage.path}:") for error in errors)
    assert sum("streamgauge check -c" in error for error in errors) == 3
    assert stage.topics() == {}


def test_what_run_needs_is_there_after_creating(stage: Stage) -> None:
    stage.create(predictions=2)
    config = load(stage.path)
    assert [item.grade for item in create_missing(config)] == [Grade.OK] * 4
    notes = require(config, stage.path)
    assert [note.place for note in notes] == [("topics", "labels", 0)]
    assert list(create_missing(config)) == []


def test_topics_that_a_broker_lists_a_little_late_are_waited_for(stage: Stage) -> None:
    """As those of a broker that has just begun, or that were made just now."""
    stage.create(predictions=2)
    config = load(stage.path)
    late = threading.Timer(1.0, lambda: list(create_missing(config)))
    late.start()
    notes = require(config, stage.path)
    late.join()
    assert [note.place for note in notes] == [("topics", "labels", 0)]


def test_traffic_is_told_where_the_broker_can_tell(broker: Broker, tmp_path: Path) -> None:
    stage = Stage.at(broker.bootstrap_servers, tmp_path, labels=False)
    stage.create(predictions=3)
    assert stage.check("--create").code == 0
    producer = Producer({"bootstrap.servers": stage.bootstrap})
    topic, now = f"{stage.name}.predictions", int(time.time() * 1000)
    for i in range(90):
        hours_ago = 2 if i < 30 else 0
        producer.produce(topic, b"{}", partition=i % 3, timestamp=now - hours_ago * 3_600_000)
    assert producer.flush(20) == 0
    code, output, _ = stage.check()
    assert code == 0
    told = f"ok: topic {topic} has had 60 events in the last hour" in output
    thin = "has too little traffic for windows up to 5m: at most 5 events" in output
    assert told == thin == (broker.name == "apache")


def test_a_broker_that_is_away_ends_with_1_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = Stage.at(f"{HOST}:{free_port()}", tmp_path)
    monkeypatch.setattr(check_command, "examine", partial(examine, patience=1.0))
    monkeypatch.setattr(check_command, "create_missing", partial(create_missing, patience=1.0))
    for options in ((), ("--create",)):
        code, _, [error] = stage.check(*options)
        assert code == 1
        assert error.startswith(f"error: {stage.path}:1: kafka.bootstrap_servers: broker ")
        assert "no broker has answered within 1 s" in error
        assert "Connection refused); is the broker running" in error
    with pytest.raises(StreamgaugeError, match="no broker has answered within 1 s") as raised:
        require(load(stage.path), stage.path, patience=1.0)
    assert raised.value.exit_code == 1
    # The client itself is quiet: the line above says what it would have said.
    assert capfd.readouterr().err == ""


def test_a_host_that_is_not_known_is_said(tmp_path: Path) -> None:
    stage = Stage.at("no-such-host.invalid:9092", tmp_path)
    [item] = examine(load(stage.path), stage.path, 0, patience=1.0).items
    assert item.grade is Grade.FAILED
    assert "Failed to resolve" in item.text


def test_nothing_is_asked_where_nothing_was_named(broker: Broker) -> None:
    admin = Admin({"bootstrap.servers": broker.bootstrap_servers}, "test")
    assert admin.cleanup_policies(()) == {}
    assert admin.topic_operations(()) == {}
    assert admin.messages_since({}, 0, 0) == 0
    admin.create(())


def test_a_topic_that_cannot_be_made_is_refused(apache_kafka: Broker) -> None:
    admin = Admin({"bootstrap.servers": apache_kafka.bootstrap_servers}, "test")
    with pytest.raises(RefusedError, match="create the topic by hand"):
        admin.create([TopicSpec(unique_name("wide"), 1, 3)])
    with pytest.raises(BrokerError, match="creating topic a/b: "):
        admin.create([TopicSpec("a/b", 1, 1)])


@pytest.fixture(scope="module")
def guarded_kafka() -> Iterator[GuardedKafka]:
    """A broker that asks for a password and for what was granted."""
    if os.environ.get(EXTERNAL_BOOTSTRAP):
        pytest.skip(f"needs a broker of its own, but {EXTERNAL_BOOTSTRAP} is set")
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    with GuardedKafka() as kafka:
        yield kafka


def test_a_wrong_password_ends_with_78_and_is_not_shown(
    guarded_kafka: GuardedKafka, tmp_path: Path
) -> None:
    security = f"security: {guarded_kafka.security('wrong-password')}"
    stage = Stage.at(guarded_kafka.guarded, tmp_path, kafka=security)
    code, output, [error] = stage.check()
    assert code == 78
    assert "Authentication failed" in error
    assert "no broker has answered" not in error, "a refusal is not waited out"
    assert error.endswith("; check kafka.security")
    assert "wrong-password" not in error + output


def test_what_was_not_granted_is_named_until_it_is(
    guarded_kafka: GuardedKafka, tmp_path: Path
) -> None:
    security = f"security: {guarded_kafka.security()}"
    stage = Stage.at(guarded_kafka.guarded, tmp_path, kafka=security)
    name, group = stage.name, f"streamgauge.{stage.name}"
    wide = {f"{name}.predictions": 2, f"{name}.labels": 2}
    create_topics(guarded_kafka.bootstrap_servers, wide)

    # Without rights the topics are not even seen, and none can be made.
    code, _, errors = stage.check("--create")
    assert code == 78
    assert any("creating topic" in e and "grant this user access" in e for e in errors)
    assert sum("does not exist, or this user may not see it" in e for e in errors) == 4

    own = {f"{name}.alerts": 1, f"{name}.dead": 1}
    create_topics(guarded_kafka.bootstrap_servers, own)
    create_topics(guarded_kafka.bootstrap_servers, {stage.state: 1}, {"cleanup.policy": "compact"})
    for topic in (*wide, *own, stage.state):
        guarded_kafka.grant("topic", topic, "describe")
    guarded_kafka.grant("group", group, "describe")
    code, output, errors = stage.check()
    assert code == 78
    assert [
        error.partition(": topic ")[2] or error.partition(": group ")[2] for error in errors
    ] == [
        f"{name}.predictions does not let this user read; grant Read on it",
        f"{name}.labels does not let this user read; grant Read on it",
        f"{name}.alerts does not let this user write; grant Write on it",
        f"{name}.dead does not let this user write; grant Write on it",
        f"{stage.state} does not let this user read and write; grant Read and Write on it",
        f"{group} does not let this user in; grant Read on the group",
    ]
    # Reading settings is a right of its own, which the monitor does not need.
    assert f"topic {stage.state} may not be compacted: this broker does not tell" in output

    for topic in wide:
        guarded_kafka.grant("topic", topic, "read")
    for topic in own:
        guarded_kafka.grant("topic", topic, "write")
    guarded_kafka.grant("topic", stage.state, "read", "write", "describe_configs")
    guarded_kafka.grant("group", group, "read")
    code, output, errors = stage.check()
    assert (code, errors) == (0, [])
    assert "may not be compacted" not in output


def test_a_state_topic_that_forgets_is_refused(apache_kafka: Broker, tmp_path: Path) -> None:
    stage = Stage.at(apache_kafka.bootstrap_servers, tmp_path, labels=False)
    stage.create(predictions=1)
    create_topics(stage.bootstrap, {stage.state: 1}, {"cleanup.policy": "compact,delete"})
    code, _, [error] = stage.check("--create")
    assert code == 78
    assert "has cleanup.policy=compact,delete, by which the broker would delete state" in error
