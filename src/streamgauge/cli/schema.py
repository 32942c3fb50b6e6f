"""The command `schema`: JSON Schemas of what users write and read."""

from enum import StrEnum
from typing import Annotated

import orjson
import typer

from streamgauge.config import Config
from streamgauge.formats.alert_event import alert_schema
from streamgauge.formats.event_schema import event_schema


class Document(StrEnum):
    """What there is a schema of."""

    CONFIG = "config"
    EVENT = "event"
    ALERT = "alert"


def schema(
    document: Annotated[Document, typer.Argument(help="The document to describe.")],
) -> None:
    """Print a JSON Schema (draft 2020-12): of the configuration, of events, or of alerts.

    Example: streamgauge schema config > streamgauge.schema.json
    """
    schemas = {
        Document.CONFIG: Config.json_schema,
        Document.EVENT: event_schema,
        Document.ALERT: alert_schema,
    }
    typer.echo(orjson.dumps(schemas[document](), option=orjson.OPT_INDENT_2).decode())
