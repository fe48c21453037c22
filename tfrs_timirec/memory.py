"""Whether what a training needs fits into memory, asked before it is made."""

import os
from pathlib import Path

from tfrs_timirec.errors import UserError

# Where Linux bounds the memory of a container.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_memory(needed: int, what: str, lower: str) -> None:
    """Checks that there is room for arrays that are about to be made.

    Args:
        needed: Bytes.
        what: What needs them.
        lower: The settings by which it needs less.

    Raises:
        UserError: If it is more than is available.
    """
    if needed > (there := available_memory()):
        raise UserError(
            f"{what} needs {needed / 2**30:,.1f} GiB of memory, and {there / 2**30:,.1f} GiB are "
            f"available: lower {lower}."
        )


def available_memory() -> int:
    """Bytes that a process can have: what is free or can be freed, within the container's bound."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        there = next(int(line.split()[1]) * 1024 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        pass  # Not on Linux: all that the machine has.
    for path in _LIMITS:
        try:
            there = min(there, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue  # No such bound.
    return there
