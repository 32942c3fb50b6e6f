"""Virtual environments of other monitors, made once from pinned requirements and kept in a cache.

`peers_NAME.txt` has every package that a peer's environment holds, with its version. Wheels alone
are installed: nothing is built. An environment is made anew when its file of requirements changed.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.peers_worker import Took

ROOT: Final = Path(__file__).parent.parent
CACHE: Final = ROOT / ".cache" / "peers"
PYTHONS: Final = ("python3.11", "python3.12")
"""Versions for which all pinned packages have wheels."""
LONGEST_INSTALL_S: Final = 600


class PeerError(Exception):
    """A peer cannot be installed or run here; the message tells what it said last."""


def requirements(name: str) -> Path:
    """Return the file of what a peer's environment holds."""
    return Path(__file__).with_name(f"peers_{name}.txt")


def environment(name: str, cache: Path = CACHE) -> Path:
    """Return the Python of a peer's environment, which is made where it is not there yet.

    Raises PeerError where no Python of this machine can install what is pinned.
    """
    home, wanted = cache / name, requirements(name).read_text()
    # Written last, so that what was interrupted is begun again.
    done, python = home / "installed.txt", home / "bin" / "python"
    if done.exists() and done.read_text() == wanted:
        return python
    said = f"neither of {', '.join(PYTHONS)} is there"
    for candidate in _pythons():
        print(f"{name}: making its environment in {home}", file=sys.stderr)
        install = [str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
        try:
            _call([candidate, "-m", "venv", "--clear", str(home)])
            _call([*install, "-r", str(requirements(name))])
        except PeerError as error:
            said = str(error)
            continue
        done.write_text(wanted)
        return python
    raise PeerError(f"cannot be installed: {said}")


def _pythons() -> list[str]:
    """Return the Pythons of this machine to try, our own first where its version is right."""
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [path for name in PYTHONS if name != own and (path := shutil.which(name))]
    return [sys.executable, *found] if own in PYTHONS else found


def _call(command: list[str]) -> None:
    try:
        subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=LONGEST_INSTALL_S
        )
    except subprocess.CalledProcessError as error:
        raise PeerError(_last(error.stderr or error.stdout)) from error
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{command[0]} took over {LONGEST_INSTALL_S} s") from error


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "nothing was said"


class Worker:
    """A peer's process, ready to measure; it waits without working in between."""

    def __init__(self, name: str, folder: Path) -> None:
        """Start the process. Raises PeerError where there is no environment for it."""
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(environment(name)), "-m", "benchmarks.peers_worker", name, str(folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            ready = self._answer()
        except PeerError:
            self.close()
            raise
        self.version: str = ready["version"]
        self.setting: str = ready["setting"]
        self.tried: dict[str, float] = ready["tried"]

    def measure(self, seconds: float) -> Took:
        """Measure for some seconds. Raises PeerError where the process ends instead."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(_last(self._log.read_text())) from error
        return Took(*self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise PeerError(_last(self._log.read_text()))
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
