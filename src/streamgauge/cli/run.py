"""The command `run`: the monitor."""

import gc
import logging
import signal
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from streamgauge.cli.logs import set_up_logs
from streamgauge.clock import SystemClock
from streamgauge.config import load
from streamgauge.formats.messages import DeadLetterReason
from streamgauge.io.metrics.self_metrics import SelfMetrics
from streamgauge.runner.environment import require
from streamgauge.runner.loop import Loop
from streamgauge.runner.plan import plan, render_limits
from streamgauge.runner.publisher import Publisher
from streamgauge.web.app import build_app
from streamgauge.web.server import serve

log = logging.getLogger("streamgauge")


def run(
    config: Annotated[
        Path, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")
    ],
    discard_state: Annotated[
        bool,
        typer.Option(
            "--discard-state",
            help="Forget what was counted before, and go on from the group's committed offsets.",
        ),
    ] = False,
) -> None:
    """Monitor the models of a configuration until told to stop (Ctrl-C or SIGTERM).

    Example: streamgauge run -c streamgauge.yaml
    """
    settings = load(config)
    set_up_logs(settings.log)
    planned = plan(settings, config)
    for note in require(settings, config):
        log.warning("%s", note.sentence)
    clock = SystemClock()
    publisher = Publisher(clock, render_limits(settings))
    metrics = SelfMetrics(
        lambda: publisher.status,
        publisher.rendered,
        config_read_at=clock.wall(),
        reasons=[reason.value for reason in DeadLetterReason],
    )
    stop = Event()

    def told(number: int, _frame: FrameType | None) -> None:
        log.info("stopping: %s", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    app = build_app(publisher, metrics, host=settings.http.host, clock=clock)
    with serve(app, settings.http.host, settings.http.port) as server:
        log.info("metrics, health and status page at %s", server.url)
        # Modules and references stay as they are: looked through again and again for garbage, as
        # messages come and go, they would take a tenth of the loop's time.
        gc.collect()
        gc.freeze()
        Loop(planned, clock, publisher, metrics.checkpoint_took, discard_state=discard_state).run(
            stop
        )
    log.info("stopped: everything read is committed")
