"""Builds the compiled code, where there is a C compiler: each source a library beside it.

Without one, or if it fails, the project is installed all the same: the typed decoder and numpy do
the work then, with the same result, in more than twice the time.
"""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
PACKAGE = ROOT / "src" / "streamgauge"
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", f"-I{PACKAGE}")


class Source(NamedTuple):
    """A C source, and what it is compiled with besides `FLAGS`."""

    path: Path
    flags: tuple[str, ...] = ()

    @property
    def library(self) -> Path:
        """Where it is built."""
        return self.path.with_name(f"lib{self.path.stem}.so")


OF_VECTORS = ("-fno-trapping-math", "-fno-math-errno")
"""What is not chosen may be computed all the same."""
MORE_FLAGS = {
    # A product and a sum may be rounded at once.
    "side_bank": ("-ffp-contract=fast", *OF_VECTORS),
    "dispersion": OF_VECTORS,
    "pane_feed": OF_VECTORS,
    "spread": OF_VECTORS,
}
SOURCES = {
    path.stem: Source(path, MORE_FLAGS.get(path.stem, ())) for path in sorted(PACKAGE.rglob("*.c"))
}
"""By name."""


def find_compiler() -> list[str] | None:
    """The command of a C compiler: the environment's CC, or one of the usual names."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def compile_library(source: Source, library: Path, *flags: str) -> str | None:
    """Compile a source into a file; return what went wrong, None if nothing did."""
    compiler = find_compiler()
    if compiler is None:
        return "no C compiler was found (cc, gcc, clang or CC)"
    command = [*compiler, *FLAGS, *source.flags, *flags, "-o", str(library), str(source.path)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{shlex.join(command)}: {getattr(error, 'stderr', None) or error}"
    return None


def compile_all() -> str | None:
    """Compile every source into its library; return what went wrong, None if nothing did."""
    for source in SOURCES.values():
        source.library.unlink(missing_ok=True)
    problems = (compile_library(source, source.library) for source in SOURCES.values())
    return next((problem for problem in problems if problem is not None), None)


class CompiledHook(BuildHookInterface[Any]):
    """Puts libraries beside their sources, and into wheels for the machine that built them."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; `version` is "editable" where the source tree itself is installed."""
        problem = compile_all()
        if problem is not None:
            self.app.display_warning(f"streamgauge: events will be read slower: {problem}")
        built = [source.library for source in SOURCES.values() if source.library.exists()]
        if built and version != "editable":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            # It depends on the machine, but on no version of Python.
            build_data["tag"] = f"py3-none-{platform}"
            build_data["pure_python"] = False
            build_data["artifacts"] += [str(library.relative_to(ROOT)) for library in built]
