"""How many processors a process may use."""

import os
from pathlib import Path

import pytest

from streamgauge.runner.processors import processors


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000\n", 4),
        ("100000 100000\n", 1),
        ("199999 100000\n", 1),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("900000 100000\n", 4),
        ("100000 0\n", 4),
        ("", 4),
        (None, 4),
    ],
)
def test_a_quota_of_the_container_counts(
    quota: str | None, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    path = tmp_path / "cpu.max"
    if quota is not None:
        path.write_text(quota)
    assert processors(path) == count


def test_where_affinity_is_not_known_all_processors_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors(tmp_path / "none") == 1
