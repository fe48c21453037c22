"""Whether what a training needs fits into memory, asked before it is made."""

import os
from pathlib import Path

from tfrs_timirec.errors import UserError

# Where Linux bounds the memory of a container: the folder, the file of the bound, that of what is
# used, and the name in `memory.stat` of what files take that are kept in case they are read again.
_CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


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
    for folder, bound, used, kept in _CONTAINERS:
        try:
            limit = int(Path(folder, bound).read_text())
        except (OSError, ValueError):
            continue  # No such bound.
        there = min(there, limit)
        try:
            lines = Path(folder, "memory.stat").read_text().splitlines()
            freeable = int(dict(line.split() for line in lines)[kept])
            there = min(there, limit - int(Path(folder, used).read_text()) + freeable)
        except (OSError, ValueError, KeyError):
            continue  # What is used is not told.
    return there
