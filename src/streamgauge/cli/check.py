"""The command `check`: the configuration first, then what it needs of the broker."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.cli.check_output import Report, print_json, print_report
from streamgauge.clock import SystemClock
from streamgauge.config import Config, load
from streamgauge.errors import ConfigError, UsageError
from streamgauge.runner.checklist import Grade, Item, problems
from streamgauge.runner.environment import (
    Examined,
    client_items,
    create_missing,
    examine,
    reader_items,
)
from streamgauge.runner.outlook import outlook_items, outlooks
from streamgauge.runner.plan import Plan, plan
from streamgauge.runner.projection import project, projection_items


def check(
    config: Annotated[
        Path, typer.Option("-c", "--config", help="The configuration file.", metavar="FILE")
    ],
    offline: Annotated[
        bool, typer.Option("--offline", help="The file and its references alone: ask no broker.")
    ] = False,
    create: Annotated[
        bool,
        typer.Option(
            "--create",
            help="Create the topics of streamgauge's own that are missing.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
) -> None:
    """Check a configuration, and whether there is what it needs; nothing is joined or read.

    Exit codes: 0 fine, 1 the broker is away, 78 something has to be changed.

    Example: streamgauge check -c streamgauge.yaml --create
    """
    if offline and create:
        raise UsageError("--create needs a broker; leave out --offline")
    try:
        planned, report = _configuration(config)
    except ConfigError as error:
        if as_json:
            print_json(Report(config), error)
        raise
    traffic = None
    if not offline and not any(item.problem for item in report.items):
        found, traffic = _environment(planned.config, config, create=create)
        report = replace(report, items=(*report.items, *found))
    expected = outlooks(planned, traffic)
    items = (*report.items, *outlook_items(expected))
    report = replace(report, items=items, outlooks=expected)
    wrong = problems(report.items, config)
    if as_json:
        print_json(report, wrong)
    elif print_report(report) and wrong is not None:
        raise typer.Exit(wrong.exit_code)
    if wrong is not None:
        raise wrong


def _configuration(path: Path) -> tuple[Plan, Report]:
    """Return the plan of a configuration, and what it and its references say for themselves."""
    settings = load(path)
    planned = plan(settings, path)
    projections = project(planned)
    count = len(settings.models)
    models = "1 model" if count == 1 else f"{count} models"
    items = (
        Item(Grade.OK, f"configuration {path}", f"is complete ({models})"),
        *projection_items(planned, projections),
        *client_items(settings),
        *reader_items(),
    )
    return planned, Report(path, items, projections)


def _environment(settings: Config, path: Path, *, create: bool) -> Examined:
    created = tuple(create_missing(settings)) if create else ()
    # A broker that was away a moment ago is not asked again.
    if any(item.grade is Grade.FAILED for item in created):
        return Examined(created, None)
    items, messages = examine(settings, path, int(SystemClock().wall() * 1000))
    return Examined((*created, *items), messages)
