"""Large arrays go back to the system, in a process of its own."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from streamgauge.io.allocator import return_free_pages, return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "asked":
    assert return_large_blocks()
for _ in range(3):
    np.ones(30 << 17)  # 30 MB: the library learns to keep such
before = resident()
large = [np.ones(1 << 19) for _ in range(40)]  # 160 MB in blocks of 4 MB
small = [np.ones(16) for _ in range(100)]
top = np.ones(1 << 12)
del large
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the C library of GNU")
def test_what_was_let_go_of_is_not_resident_any_more() -> None:
    command = [sys.executable, "-c", PROGRAM, "asked"]
    kept = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert kept < 1 << 20


LEARN = """
import numpy as np
np.ones(1 << 20)  # 8 MB: blocks below share the heap from now on
"""
HOLES = """
from pathlib import Path
import numpy as np
from streamgauge.io.allocator import return_free_pages

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

kept, holes = [], []
for _ in range(1600):
    holes.append(np.ones(1 << 12))  # 32 KB, 52 MB together: below any threshold for a mapping
    kept.append(np.ones(512))
del holes
before = resident()
return_free_pages()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the C library of GNU")
def test_holes_between_what_stays_go_back_to_the_system() -> None:
    command = [sys.executable, "-c", f"{LEARN}{HOLES}"]
    freed = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert freed > 30 << 20
