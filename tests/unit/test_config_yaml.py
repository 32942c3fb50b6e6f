from pathlib import Path

import pytest
import yaml

from streamgauge.config import load, yaml_text
from streamgauge.config.yaml_text import UnreadableError
from streamgauge.errors import ConfigError
from tests.support.config_files import SMALLEST, loaded, problem


def value(scalar: str) -> object:
    document = yaml_text.read(f"a: {scalar}\n")
    assert document.problems == ()
    assert isinstance(document.data, dict)
    return document.data["a"]


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("-1.", -1.0),
        ("text", "text"), ("y", "y"), ("n", "n"), ("none", "none"), ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"), ("'no'", "no"), ('"012"', "012"), ("'1:30'", "1:30"), ("'5'", "5"),
        ("localhost:9092", "localhost:9092"), ("|\n  no\n", "no\n"), ("5m", "5m"), ("12h", "12h"),
    ],
)  # fmt: skip
def test_plain_words_are_read_as_yaml_1_2_reads_them(scalar: str, expected: object) -> None:
    found = value(scalar)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("scalar", "words"),
    [
        ("no", "true or false"), ("Yes", "true or false"), ("on", "true or false"),
        ("OFF", "true or false"),
        ("012", "decimal"), ("-00", "decimal"), ("0x1F", "decimal"), ("0o14", "decimal"),
        ("0b11", "decimal"),
        ("1:30", "base 60"), ("10:20:30.5", "base 60"),
        (".nan", "finite"), (".inf", "finite"), ("-.Inf", "finite"), ("1e999", "finite"),
        ("9" * 400, "digits"), ("9" * 5000, "digits"),
    ],
)  # fmt: skip
def test_what_yaml_versions_read_differently_is_refused(scalar: str, words: str) -> None:
    [found] = yaml_text.read(f"a:\n  - {scalar}\n").problems
    assert found.place == ("a", 0)
    assert words in found.text
    assert scalar not in found.text.split() or scalar.lower() in {"on", "off"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: the key stands twice, first in line 1"),
        ("a: {b: 1,\n b: 2}\n", 2, "a.b: the key stands twice"),
        ("a: &x 1\n", 1, "a: YAML anchors"),
        ("a: 1\nb: [0, *x]\n", 2, "b[1]: YAML anchors"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "a: YAML tags"),
        ("a: !!str 5\n", 1, "a: YAML tags"),
        ("!!map {a: 1}\n", 1, "YAML tags"),
        ("a: !x!y 5\n", 1, "YAML tags"),
        ("a:\n  <<: {b: 1}\n", 2, "a: merge keys"),
        ("? [a]\n: 1\n", 1, "is no key"),
        ("? {a: 1}\n: 1\n", 1, "is no key"),
        ("a: 1\n---\nb: 1\n", 2, "a second document"),
        ("a: 1\n\tb: 2\n", 2, "tab"),
        ("a: [1, 2\n", 2, "not valid YAML"),
        ("a: 'x\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("a: @x\n", 1, "not valid YAML"),
        ("a: 1\nb: x\x07\n", 2, "control character"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "out of range"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", 1, "out of range"),
        ('"\\ud800": 1\n', 1, "surrogate"),
        ("[" * 2000, 1, "nested deeper"),
        ("a: " + "{a: " * 40 + "}" * 40, 1, "nested deeper"),
    ],
)
def test_a_text_that_cannot_be_read_safely_is_refused_with_its_line(
    text: str, line: int, words: str
) -> None:
    with pytest.raises(UnreadableError) as caught:
        yaml_text.read(text)
    assert words in caught.value.text
    assert caught.value.line == line


def test_a_document_may_hold_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "MOST_VALUES", 100)
    assert yaml_text.read("[" + "x," * 99 + "]").data == ["x"] * 99
    with pytest.raises(UnreadableError, match="more than 100 values; write fewer"):
        yaml_text.read("[" + "x," * 100 + "]")


def test_half_a_surrogate_pair_is_refused_in_a_value() -> None:
    [found] = yaml_text.read('a: "\\ud800"\n').problems
    assert "surrogate" in found.text


def test_every_place_has_the_line_it_begins_in() -> None:
    document = yaml_text.read("# one\na:\n  b: [1,\n      2]\n  c:\n    - x\n    - {d: 5}\n")
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("a", "c"): 5,
        ("a", "c", 0): 6,
        ("a", "c", 1): 7,
        ("a", "c", 1, "d"): 7,
    }
    assert document.line(("a", "b", 7, "z")) == 3
    assert document.line(("nowhere",)) == 2


def test_ordinary_yaml_is_read_as_pyyaml_reads_it() -> None:
    text = (
        "a: {b: [1, 2.5, true, null, 'q'], c: plain text}\nd:\n  - e: >\n      folded\n      text\n"
        "    f: \"esc \\u00e9\"\n  - []\n  - {}\ng: 'it''s'\n"
    )
    assert yaml_text.read(text).data == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"# nothing\n", "is empty"),
        (b"~\n", "is empty"),
        (b"- a\n", "must hold 'key: value' lines"),
        (b"text\n", "must hold 'key: value' lines"),
        (b"app: x\nkafka: \xff\n", ":2: is not UTF-8"),
        ("app: x\n".encode("utf-16"), "is not UTF-8"),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; check the path"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    config = loaded(tmp_path, "\ufeff" + SMALLEST.replace("\n", "\r\n"))
    assert list(config.models) == ["churn"]


def test_an_alias_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    assert "anchors and aliases" in problem(tmp_path, bomb)
