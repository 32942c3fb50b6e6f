"""Builds the library of all C files, where there is a C compiler.

Without one, or if it fails, the project is installed all the same: Python does then what the
library would have done, with the same result, in more than twice the time.
"""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = Path(__file__).parent / "src" / "streamgauge"
SOURCES = tuple(sorted(PACKAGE.rglob("*.c")))
LIBRARY = PACKAGE / "libstreamgauge.so"
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC")


def find_compiler() -> list[str] | None:
    """The command of a C compiler: the environment's CC, or one of the usual names."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def compile_library(library: Path, *flags: str) -> str | None:
    """Compile into a file; return what went wrong, None if nothing did."""
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler was found (cc, gcc, clang or CC)"
    command = [*compiler, *FLAGS, *flags, "-o", str(library), *map(str, SOURCES)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{shlex.join(command)}: {getattr(error, 'stderr', None) or error}"
    return None


class CompiledHook(BuildHookInterface[Any]):
    """Puts the library beside its source, and into wheels for the machine that built it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; `version` is "editable" where the source tree itself is installed."""
        LIBRARY.unlink(missing_ok=True)
        problem = compile_library(LIBRARY)
        if problem is not None:
            self.app.display_warning(f"streamgauge: events will be decoded slower: {problem}")
            return
        if version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            # It depends on the machine, but on no version of Python.
            build_data["tag"] = f"py3-none-{platform}"
            build_data["pure_python"] = False
            build_data["artifacts"].append(str(LIBRARY.relative_to(Path(__file__).parent)))
