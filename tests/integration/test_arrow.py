"""Arrow batches from `streamgauge.emit` through the broker to the metrics of `streamgauge run`."""

import json
from pathlib import Path

from confluent_kafka import Producer

from streamgauge.emit import Client
from tests.integration.test_run import START, Stage
from tests.support.brokers import Broker
from tests.support.monitors import wait_until
from tests.support.topics import read_to_end

ROWS = 2_000


def test_batches_and_single_events_on_one_topic_are_all_counted(
    broker: Broker, tmp_path: Path
) -> None:
    stage = Stage(broker, tmp_path)
    with stage.monitor() as monitor:
        with (
            Client(stage.bootstrap, topic=stage.input, format="arrow", batch_rows=300) as batches,
            Client(stage.bootstrap, topic=stage.input) as single,
        ):
            for row in range(ROWS):
                client = single if row % 7 == 0 else batches
                assert client.prediction(
                    prediction_id=f"p{row}",
                    timestamp=START + row * 100,
                    model="nobody's" if row % 100 == 50 else "m",
                    model_version=str(row % 2),
                    features={"x": row % 17 / 4, "c": "abc"[row % 3]},
                    prediction=row % 2,
                    score=1.5 if row % 100 == 25 else row % 10 / 10,
                )
            assert batches.flush(30)
            assert single.flush(30)
        # A stream that nothing says is one.
        producer = Producer({"bootstrap.servers": stage.bootstrap})
        producer.produce(stage.input, value=b"\xff\xff\xff\xff", key=b"stray")
        assert producer.flush(30) == 0
        wait_until(
            "everything is consumed",
            lambda: monitor.value("streamgauge_messages_consumed_total") == ROWS + 1,
        )
        good = ROWS - 2 * ROWS // 100
        wait_until(
            "the events are counted",
            lambda: monitor.value("streamgauge_predictions_total") == good,
        )
        assert monitor.value("streamgauge_unknown_model_events_total") == ROWS // 100
        for reason, count in {"schema": ROWS // 100, "decode": 1}.items():
            assert monitor.value("streamgauge_dead_letters_total", reason=reason) == count
        assert monitor.stop() == 0, monitor.log.read_text()
    assert stage.committed() < ROWS / 2

    letters = {m.key(): m for m in read_to_end(stage.bootstrap, stage.dead)}
    assert letters.keys() == {b"p%d" % row for row in range(25, ROWS, 100)} | {b"stray"}
    for key, letter in letters.items():
        headers = dict(letter.headers() or ())
        if key != b"stray":
            assert headers["__streamgauge.errors.field"] == b"score"
            assert json.loads(letter.value() or b"")["score"] == 1.5
