"""The command `run`: the monitor."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Annotated, Final

import typer

from streamgauge.cli.fleet import run_fleet
from streamgauge.cli.logs import set_up_logs
from streamgauge.clock import Clock, SystemClock
from streamgauge.config import Config, load
from streamgauge.errors import UsageError
from streamgauge.formats.messages import DeadLetterReason
from streamgauge.io.allocator import return_large_blocks
from streamgauge.io.metrics.self_metrics import SelfMetrics
from streamgauge.runner.environment import require
from streamgauge.runner.loop import Loop
from streamgauge.runner.plan import Plan, plan, render_limits
from streamgauge.runner.publisher import Publisher
from streamgauge.runner.workers.analyst import Analyst
from streamgauge.runner.workers.terms import refuse
from streamgauge.runner.workers.worker import Worker
from streamgauge.web.app import build_app
from streamgauge.web.server import serve

YOUNGEST: Final = 50_000
"""Objects made since the last look for garbage that call for the next, 700 by default: each message
that is read is one, and a poll's are let go of together."""

log = logging.getLogger("streamgauge")


class Role(StrEnum):
    """What a process does."""

    ALL = "all"
    """Everything."""
    AGGREGATE = "aggregate"
    """Counts the events of its share of the partitions."""
    ANALYSE = "analyse"
    """Analyses what others have counted."""


def run(
    config: Annotated[
        Path, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")
    ],
    role: Annotated[
        Role,
        typer.Option(
            "--role",
            help="What this process does: everything; count its share of the events; or analyse"
            " what others count.",
        ),
    ] = Role.ALL,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            max=256,
            metavar="N",
            help="Count in N processes on this machine and analyse in one more, started and ended"
            " together.",
        ),
    ] = 0,
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port",
            min=0,
            max=65_535,
            help="Serve HTTP here instead of at http.port; workers take the ports after it.",
        ),
    ] = None,
    discard_state: Annotated[
        bool,
        typer.Option(
            "--discard-state",
            help="Forget what was counted before, and go on from the group's committed offsets.",
        ),
    ] = False,
    member: Annotated[str, typer.Option("--member", hidden=True)] = "",
) -> None:
    """Monitor the models of a configuration until told to stop (Ctrl-C or SIGTERM).

    One process does everything, unless --role or --workers says otherwise. To count more events
    than one can, run any number with --role aggregate, on any machines, and one with --role
    analyse; docs/roles.md says what they refuse.

    Example: streamgauge run -c streamgauge.yaml --workers 4
    """
    if workers and role is not Role.ALL:
        raise UsageError("--workers starts processes of both other roles; leave out --role")
    if discard_state and role is Role.AGGREGATE:
        raise UsageError("--role aggregate has no state to discard; give it to --role analyse")
    settings = load(config)
    set_up_logs(settings.log, member)
    planned = plan(settings, config)
    split = bool(workers) or role is not Role.ALL
    if split:
        refuse(planned, config)
    for note in require(settings, config, split=split):
        log.warning("%s", note.sentence)
    stop = _stop()
    port = settings.http.port if http_port is None else http_port
    if workers:
        raise typer.Exit(run_fleet(config, workers, port, stop, discard_state=discard_state))
    if member:
        _end_with_starter(stop)
    _serve(settings, port, stop, _loop(planned, role, discard_state=discard_state))
    log.info("stopped: everything read is committed")


MakeLoop = Callable[[Clock, Publisher, Callable[[float], None]], Loop]


def _loop(planned: Plan, role: Role, *, discard_state: bool) -> MakeLoop:
    """Return what makes the loop of a role."""

    def make(clock: Clock, publisher: Publisher, took: Callable[[float], None]) -> Loop:
        if role is Role.AGGREGATE:
            return Worker(planned, clock, publisher, took)
        kind = Analyst if role is Role.ANALYSE else Loop
        return kind(planned, clock, publisher, took, discard_state=discard_state)

    return make


def look_seldom_for_garbage() -> None:
    """Leave out of the search for garbage what there is now, and search seldom for the rest.

    Modules and references stay as they are: looked through again and again, as messages come and
    go, they would take a tenth of the loop's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, *gc.get_threshold()[1:])


def _serve(settings: Config, port: int, stop: Event, make: MakeLoop) -> None:
    """Run a loop until it is to stop, with its HTTP server."""
    return_large_blocks()
    clock = SystemClock()
    publisher = Publisher(clock, render_limits(settings))
    metrics = SelfMetrics(
        lambda: publisher.status,
        publisher.rendered,
        config_read_at=clock.wall(),
        reasons=[reason.value for reason in DeadLetterReason],
    )
    app = build_app(publisher, metrics, host=settings.http.host, clock=clock)
    with serve(app, settings.http.host, port) as server:
        log.info("metrics, health and status page at %s", server.url)
        look_seldom_for_garbage()
        make(clock, publisher, metrics.checkpoint_took).run(stop)


def _stop() -> Event:
    """Return what is set when the process is told to stop."""
    stop = Event()

    def told(number: int, _frame: FrameType | None) -> None:
        log.info("stopping: %s", signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    return stop


def _end_with_starter(stop: Event) -> None:
    """Stop when whoever started this process is gone: then nobody holds its standard input."""

    def watch() -> None:
        # Not through a buffer, whose lock would be held when the interpreter ends.
        while os.read(sys.stdin.fileno(), 1024):
            continue
        stop.set()

    Thread(target=watch, name="starter", daemon=True).start()
