"""Restoring the state: all of it in spite of others' transactions, and never a damaged one."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from confluent_kafka import Producer

from streamgauge.formats.state_records import StateError
from streamgauge.formats.state_restore import restore
from streamgauge.io.kafka.state_topic import StateReader
from tests.support.chaos_checker import check
from tests.support.chaos_stage import START_MS, App, Stage, wait_for
from tests.support.chaos_stream import stream
from tests.support.topics import unique_name


@contextmanager
def foreign_transaction(app: App) -> Iterator[Callable[[], None]]:
    """Hold a transaction of another program open on an app's state topic; yields its end."""
    producer = Producer(
        {
            "bootstrap.servers": app.stream.bootstrap,
            "transactional.id": unique_name("foreign"),
            "transaction.timeout.ms": 120_000,
        }
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(app.state, b"nothing of ours", b"foreign")
    assert producer.flush(30) == 0
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            producer.abort_transaction(30)
            ended.append(True)

    try:
        yield end
    finally:
        end()


def restored_beside_a_transaction(stage: Stage, *, bug: str = "") -> list[str]:
    """Restart a replica while a foreign transaction is open; return the broken promises."""
    events = stream(11, START_MS)
    given = stage.prepared(islice(events, 5_000))
    app = stage.app(given, name="beside", bug=bug)
    app.start()
    wait_for("the first part is committed", lambda: app.consumed() == 5_000)
    with foreign_transaction(app) as end:
        total = given.send(islice(events, 5_000))
        wait_for("the second is too", lambda: sum(app.committed().values()) == total)
        app.replicas[0].end(signal.SIGKILL)
        again = app.start()
        if bug:
            wait_for("it begins without what is hidden", lambda: again.active)
        else:
            time.sleep(8.0)
            assert not again.active, "it has read less than there is"
        end()
    wait_for("it begins with all there is", lambda: again.active)
    given.send(islice(events, 1_000))
    return [violation.invariant for violation in check(app.settle(given.finish()))]


def test_a_restore_waits_for_what_a_foreign_transaction_hides(stage: Stage) -> None:
    assert restored_beside_a_transaction(stage) == []


def _cut(value: bytes, rng: random.Random) -> bytes:
    return value[: rng.randrange(len(value))]


def _dropped(_value: bytes, _rng: random.Random) -> None:
    return None


def _flipped(value: bytes, rng: random.Random) -> bytes:
    harmed = bytearray(value)
    harmed[rng.randrange(len(harmed))] ^= 1 << rng.randrange(8)
    return bytes(harmed)


HARMS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flipped": _flipped,
    "cut": _cut,
    "dropped": _dropped,
}


def test_damage_in_any_record_of_the_state_is_detected(stage: Stage) -> None:
    given = stage.prepared(islice(stream(12, START_MS), 20_000))
    app = stage.app(given, name="damaged")
    app.start()
    evidence = app.settle(given.finish())
    assert check(evidence) == []
    settings = {"bootstrap.servers": given.bootstrap}
    reader = StateReader(settings, "g", "c", app.state)
    whole = reader.records()
    rng = random.Random(3)
    undetected = []
    for key, (offset, value) in sorted(whole.items()):
        for name, harm in HARMS.items():
            harmed = harm(value, rng)
            records = {**whole, key: (offset, harmed or b"")}
            if harmed is None:
                del records[key]
            try:
                restore(records, app.name)
            except StateError:
                continue
            undetected.append((name, key))
    assert len(whole) > 10
    assert undetected == []
    assert restore(whole, app.name) is not None, "what is whole is taken"

    producer = Producer(settings)
    for harm, key in zip(HARMS.values(), rng.sample(sorted(whole), len(HARMS)), strict=True):
        producer.produce(app.state, harm(whole[key][1], rng), key, 0)
        assert producer.flush(30) == 0
        replica = app.start("b")
        app.replicas.remove(replica)
        assert stage.zygote.wait(replica.pid, 60.0) == 1
        log = replica.log.read_text()
        assert "state topic" in log
        assert "--discard-state" in log
        producer.produce(app.state, whole[key][1], key, 0)
        assert producer.flush(30) == 0
    replica = app.start("c")
    wait_for("the whole state is taken", lambda: replica.active)
