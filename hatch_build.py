"""Builds what is compiled, where there is a C compiler: each source to a library beside it.

Without one, or if it fails, the project is installed all the same: slower code does the work then,
with the same result. The typed decoder takes more than twice the time for an event.
"""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent / "src" / "streamgauge"
SOURCE = HERE / "formats" / "plain_events.c"
"""The reader of plain events."""
SOURCES = (
    SOURCE,
    HERE / "core" / "joining" / "hashed.c",
    HERE / "core" / "outcomes" / "counts.c",
    HERE / "io" / "joining" / "rows.c",
)
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC")


def find_compiler() -> list[str] | None:
    """The command of a C compiler: the environment's CC, or one of the usual names."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def library_of(source: Path) -> Path:
    """The library that a source becomes."""
    return source.with_name(f"lib{source.stem}.so")


LIBRARY = library_of(SOURCE)


def compile_library(library: Path, *flags: str, source: Path = SOURCE) -> str | None:
    """Compile a source into a file; return what went wrong, None if nothing did."""
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler was found (cc, gcc, clang or CC)"
    command = [*compiler, *FLAGS, *flags, "-o", str(library), str(source)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{shlex.join(command)}: {getattr(error, 'stderr', None) or error}"
    return None


class LibrariesHook(BuildHookInterface[Any]):
    """Puts each library beside its source, and into wheels for the machine that built it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; `version` is "editable" where the source tree itself is installed."""
        for source in SOURCES:
            library = library_of(source)
            library.unlink(missing_ok=True)
            problem = compile_library(library, source=source)
            if problem is not None:
                self.app.display_warning(f"streamgauge: it will be slower: {problem}")
            elif version != "editable":
                platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
                # It depends on the machine, but on no version of Python.
                build_data["tag"] = f"py3-none-{platform}"
                build_data["pure_python"] = False
                build_data["artifacts"].append(str(library.relative_to(Path(__file__).parent)))
