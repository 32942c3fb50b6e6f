"""The page docs/configuration.md: `python -m streamgauge.config.docs` writes it.

Every key comes from the JSON Schema, with its type, default and description; the text around the
tables is kept here.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from streamgauge.config.loader import LARGEST_FILE
from streamgauge.config.root import Config

Node = Mapping[str, Any]

_INTRODUCTION: Final = f"""\
# Configuration

One YAML file, at most {LARGEST_FILE // 1024 // 1024} MiB. Everything has a default but the broker
and the models:

```yaml
app: flights
kafka:
  bootstrap_servers: localhost:9092
models:
  flight-delay:
    task: binary
    reference: flight-delay.reference.json   # made by `streamgauge profile`
    slices: [carrier, origin, [carrier, origin]]
    windows: [5m, 1h, 1d]
```

This page is written from the JSON Schema, which `streamgauge schema config` prints for editors; a
test keeps the two the same.

- **Durations** are a whole number and a unit: `500ms`, `10s`, `5m`, `1h`, `1d`, `1w`.
- **Paths** are relative to the folder of the file.
- **Secrets** and whatever else differs between places are written as `${{NAME}}` and come from the
  environment; `${{NAME:-fallback}}` has a fallback. No message shows such a value.
- The YAML is read strictly: no unknown or repeated keys, no anchors and tags, and nothing that YAML
  1.1 and 1.2 read in different ways (`no`, `012`, `1:30`); quote such a text.

## Checking it

```
streamgauge check -c streamgauge.yaml            # the file, the references, then the broker
streamgauge check -c streamgauge.yaml --offline  # the file and the references alone
streamgauge check -c streamgauge.yaml --create   # make the topics of our own that are missing
```

What is wrong is said in one line each, with its place in the file and the remedy, on the standard
error:

```
error: app.yaml:8: models.flight-delay.windows[1]: must be a duration with its unit; write ...
```

`--create` makes the topics for alerts, dead letters and state, never those that are read. `--json`
prints the whole result as one object. `streamgauge run` makes the same checks of topics when it
starts, before it joins or writes anything.

| exit code | meaning |
|---|---|
| 0 | all is well; notes may say what could be better |
| 1 | the broker could not be reached or did not answer: nothing has to be changed |
| 2 | the command was called in a wrong way |
| 78 | something has to be changed: the file, a reference, topics, or this user's access |
"""


class Row(NamedTuple):
    """What the page says of one key."""

    key: str
    type: str
    default: str
    meaning: str


def configuration_page() -> str:
    """Return the page as Markdown."""
    schema = Config.json_schema()
    parts = [_INTRODUCTION]
    for place, section in sections(schema):
        title = f"`{place}`" if place else "The file's top level"
        lines = [f"## {title}", "", section["description"], ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in rows(section, schema)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def sections(schema: Node) -> Iterator[tuple[str, Node]]:
    """Yield every section of the file, each before the sections in it, with its place."""
    yield from _below("", schema, schema)


def _below(place: str, section: Node, schema: Node) -> Iterator[tuple[str, Node]]:
    yield place, section
    for key, node in section["properties"].items():
        inner = f"{place}.{key}" if place else key
        for option in _options(node, schema):
            if "properties" in option:
                yield from _below(inner, option, schema)
            for entries_key, sign in (("additionalProperties", ".<id>"), ("items", "[]")):
                entries = option.get(entries_key)
                if isinstance(entries, dict):
                    entry = _resolved(entries, schema)
                    if "properties" in entry:
                        yield from _below(f"{inner}{sign}", entry, schema)


def rows(section: Node, schema: Node) -> Iterator[Row]:
    """Yield what the page says of each key of a section."""
    required = section.get("required", ())
    for key, node in section["properties"].items():
        default = "**required**" if key in required else _default(node)
        # A description that only repeats its type's stands there alone.
        meaning = node.get("description") or _options(node, schema)[0]["description"]
        yield Row(f"`{key}`", _type(node, schema), default, meaning.replace("<", r"\<"))


def _resolved(node: Node, schema: Node) -> Node:
    if "$ref" not in node:
        return node
    found: Node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _options(node: Node, schema: Node) -> list[Node]:
    """Return what may stand at a place, references followed, null left out."""
    options = [_resolved(o, schema) for o in node.get("anyOf") or node.get("oneOf") or [node]]
    return [option for option in options if option.get("type") != "null"]


def _default(node: Node) -> str:
    value = node.get("default")
    return "" if value is None or value == {} else f"`{_yaml(value)}`"


def _type(node: Node, schema: Node) -> str:
    options = _options(node, schema)
    if len(options) > 1:
        return f"such as {_codes(node['examples'])}"
    [option] = options
    if "enum" in option:
        return _codes(option["enum"], last="or")
    if option["type"] == "object":
        return _mapping(node, option, schema)
    if option["type"] == "array":
        entry = _type(option["items"], schema)
        return f"list, {entry}" if entry.startswith("such as") else f"list of {entry}s"
    if isinstance(option["type"], list):
        return _number(option)
    if "ms|[smhdw]" in option.get("pattern", ""):
        return "duration"
    if option.get("format") == "password":
        return "secret"
    examples = node.get("examples") or option.get("examples")
    return f"such as {_codes(examples[:1])}" if examples else "text"


def _mapping(node: Node, option: Node, schema: Node) -> str:
    if "properties" in option:
        return "section"
    if "properties" in _resolved(option["additionalProperties"], schema):
        return "a section for each id"
    return f"keys and values, such as {_codes(node['examples'][:1])}"


def _number(option: Node) -> str:
    """Return the type of a number with its bounds; the schema allows text for `${NAME}` too."""
    name = "whole number" if "integer" in option["type"] else "number"
    low, high = option.get("minimum"), option["maximum"]
    if low is None:
        return f"{name} above {option['exclusiveMinimum']:g} to {high:,g}"
    return f"{name} {low:g} to {high:,}"


def _codes(values: list[Any], last: str = "") -> str:
    codes = [f"`{_yaml(value)}`" for value in values]
    if last and len(codes) > 1:
        return f"{', '.join(codes[:-1])} {last} {codes[-1]}"
    return ", ".join(codes)


def _yaml(value: object) -> str:
    """Return a value as it would stand in one line of the file."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(configuration_page())
