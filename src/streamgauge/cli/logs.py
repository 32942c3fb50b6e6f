"""Logs: text for people on a terminal, JSON lines elsewhere."""

import logging
import sys
from datetime import UTC, datetime

import orjson
from rich.console import Console
from rich.logging import RichHandler

from streamgauge.config.parts import LogConfig, LogFormat


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the process if it has a name."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        line = {
            **({"process": self._name} if self._name else {}),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def set_up_logs(config: LogConfig, name: str = "") -> None:
    """Send the process's log to standard error; a process with a `name` says it in every line."""
    text = config.format is LogFormat.TEXT or (
        config.format is LogFormat.AUTO and sys.stderr.isatty()
    )
    handler: logging.Handler
    if text:
        handler = RichHandler(
            console=Console(stderr=True), show_path=False, markup=False, highlighter=None
        )
        handler.setFormatter(logging.Formatter(f"{name}: %(message)s" if name else "%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter(name))
    logging.basicConfig(level=config.level.value.upper(), handlers=[handler], force=True)
    # The server's own start and stop are told by us, in our words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
