"""The command line: its commands, and how every one of them fails."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated

import typer

from streamgauge.cli.check import check
from streamgauge.cli.demo import demo
from streamgauge.cli.profile import profile
from streamgauge.cli.run import run
from streamgauge.cli.schema import schema
from streamgauge.errors import StreamgaugeError


@dataclass(slots=True)
class Session:
    """What holds for one call of the program."""

    debug: bool = False


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
for command in (demo, run, check, profile, schema):
    app.command(command.__name__)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamgauge {version('streamgauge')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback where a command fails.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Watch machine-learning models while they serve."""
    context.obj.debug = debug


def main() -> None:
    """Run a command; what fails for a known cause ends with a line for it and its exit code."""
    session = Session()
    try:
        app(obj=session)
    except StreamgaugeError as error:
        if session.debug:
            raise
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
