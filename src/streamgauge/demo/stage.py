"""The stage: broker, monitor and replay on this machine, and the play from first to last event."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from streamgauge.demo.alerts import AlertFeed, Event
from streamgauge.demo.dataset import read
from streamgauge.demo.frame import Frame
from streamgauge.demo.monitor import Monitor, running_monitor
from streamgauge.demo.observer import Observer
from streamgauge.demo.replay import Replay
from streamgauge.demo.scrape import Scrape
from streamgauge.demo.setting import (
    ALERTS,
    create_topics,
    make_reference,
    write_config,
)
from streamgauge.demo.summary import Summary
from streamgauge.demo.timeline import DISORDER_MS, Timeline
from streamgauge.errors import StreamgaugeError, UsageError
from streamgauge.io.embedded import EmbeddedBroker
from streamgauge.io.loopback import is_free

FRAME_S: Final = 0.25
LEAD_S: Final = 2.0
"""How many seconds' worth of events may be on their way through the monitor: more than it takes to
hear from it, and few enough that it does not fall silent over one large batch of them."""
SMALLEST_LEAD: Final = 1_000
LARGEST_LEAD: Final = 12_000
"""However fast: a partition whose events lie behind many others' must not pass for a quiet one."""
_READY_S: Final = 60.0
_SETTLE_S: Final = 60.0
_TAKEN_IN: Final = (
    "streamgauge_predictions_total",
    "streamgauge_late_events_total",
    "streamgauge_labels_total",
    "streamgauge_waiting_labels",
    "streamgauge_dead_letters_total",
)
"""Where every event of the replay ends up, in one of these."""


class ToldToStop(Exception):  # noqa: N818 - not an error
    """Somebody wants the demo to end."""


class View(Protocol):
    """Shows the replay."""

    def show(self, frame: Frame, news: Sequence[Event]) -> None:
        """Show a frame, and the alert events that came since the last one."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What to replay and how: event times `[start_ms, end_ms)`, None for all; events a second."""

    port: int
    speed: float
    start_ms: int | None = None
    end_ms: int | None = None


class Stage:
    """Everything runs; `play` sends the events, `stay` keeps it running afterwards."""

    def __init__(
        self,
        broker: EmbeddedBroker,
        monitor: Monitor,
        replay: Replay,
        feed: AlertFeed,
        stop: threading.Event,
    ) -> None:
        self.monitor = monitor
        self._broker = broker
        self._replay = replay
        self._feed = feed
        self._stop = stop
        self._observer = Observer(monitor, replay.timeline)

    def play(self, view: View) -> Summary:
        """Replay everything, show it, and return what came of it once all panes are closed.

        Raises ToldToStop, or StreamgaugeError where broker, monitor or replay fail.
        """
        began = time.monotonic()
        self._replay.start()
        while not self._replay.finished:
            self._turn(view)
        deadline = time.monotonic() + _SETTLE_S
        while not self._settled(self._turn(view)):
            if time.monotonic() > deadline:
                raise StreamgaugeError(
                    f"demo: the monitor has not taken in everything {_SETTLE_S:.0f} s after the"
                    f" last event; its log ends with: {self.monitor.last_line()}"
                )
        seconds = time.monotonic() - began
        timeline, scrape = self._replay.timeline, self._scrape()
        return Summary(
            stories=tuple(self._feed.stories.values()),
            start_ms=int(timeline.predicted[0]),
            end_ms=int(timeline.predicted[-1]),
            events_sent=self._replay.delivered,
            events_consumed=int(scrape.total("streamgauge_messages_consumed_total")),
            predictions_sent=len(timeline.predicted),
            predictions_counted=int(scrape.total("streamgauge_predictions_total")),
            labels_sent=len(timeline.labelled),
            labels_joined=int(scrape.total("streamgauge_labels_joined_total")),
            labels_pending=int(scrape.total("streamgauge_pending_labels")),
            weeks=self._observer.weeks,
            replay_seconds=seconds,
        )

    def stay(self) -> None:
        """Keep everything running until told to stop. Raises StreamgaugeError where it fails."""
        while not self._stop.wait(FRAME_S):
            self._check()

    def _turn(self, view: View) -> Frame:
        pause(self._stop, FRAME_S)
        self._check()
        news = self._feed.poll()
        frame = self._observer.look(self._feed.stories.values())
        self._replay.allow(frame.done)
        view.show(frame, news)
        return frame

    def _settled(self, frame: Frame) -> bool:
        """Tell whether all panes are closed that will be, and metrics and alerts are up to date."""
        # Labels alone do not move the event clock: after the last prediction it stands still.
        last = int(self._replay.timeline.predicted[-1])
        if frame.event_time is None or frame.event_time < last - DISORDER_MS:
            return False
        scrape = self._scrape()
        taken_in = map(scrape.total, _TAKEN_IN)
        fired = scrape.total("streamgauge_alerts_fired_total")
        return sum(taken_in) >= self._replay.total and fired <= len(self._feed.stories)

    def _scrape(self) -> Scrape:
        return self.monitor.metrics() or Scrape({})

    def _check(self) -> None:
        self._broker.check()
        self.monitor.check()
        self._replay.check()


@contextmanager
def stage(wish: Wish, say: Callable[[str], None], stop: threading.Event) -> Iterator[Stage]:
    """Set everything up, and take all of it away at the end of the block.

    `say` is told what is being done. Raises ToldToStop when `stop` is set meanwhile.
    """
    if not is_free(wish.port):
        raise StreamgaugeError(
            f"port {wish.port} is taken: stop what listens there, or choose another with --port"
        )
    table = read(wish.start_ms, wish.end_ms)
    if not table.num_rows:
        raise UsageError("--from, --until: no flight left in that time; choose days of 2013")
    with tempfile.TemporaryDirectory(prefix="streamgauge-demo-") as name:
        folder = Path(name)
        say("profiling January and February, the model's training data")
        reference = make_reference(folder, lambda _: pause(stop, 0.0))
        say("starting the embedded broker")
        with EmbeddedBroker() as broker:
            pause(stop, 0.0)
            address = broker.bootstrap_servers
            create_topics(address)
            config = write_config(folder, address, wish.port, reference)
            say(f"starting the monitor: streamgauge run -c {config}")
            with (
                running_monitor(config, wish.port) as monitor,
                closing(AlertFeed(address, ALERTS)) as feed,
            ):
                _wait_until_ready(monitor, stop)
                say(f"status page {monitor.url}/, metrics {monitor.url}/metrics")
                lead = max(SMALLEST_LEAD, min(int(LEAD_S * wish.speed), LARGEST_LEAD))
                replay = Replay(address, Timeline(table), speed=wish.speed, lead=lead)
                try:
                    yield Stage(broker, monitor, replay, feed, stop)
                finally:
                    replay.stop()


def pause(stop: threading.Event, seconds: float) -> None:
    """Wait. Raises ToldToStop as soon as `stop` is set."""
    if stop.wait(seconds):
        raise ToldToStop


def _wait_until_ready(monitor: Monitor, stop: threading.Event) -> None:
    deadline = time.monotonic() + _READY_S
    while not monitor.ready():
        monitor.check()
        if time.monotonic() > deadline:
            raise StreamgaugeError(
                f"demo: the monitor was not ready within {_READY_S:.0f} s; its log ends with:"
                f" {monitor.last_line()}"
            )
        pause(stop, FRAME_S)
