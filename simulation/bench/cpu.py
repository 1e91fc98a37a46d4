"""The CPU time of processes, read from /proc on Linux."""

import os
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CpuTimeUnavailable(RuntimeError):
    """This machine has no /proc, so CPU time cannot be measured."""


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, of its running descendants, and of its children that have ended."""
    if not (PROC / str(pid) / "stat").exists():
        raise CpuTimeUnavailable(
            f"/proc/{pid} does not exist: CPU time can be measured only on Linux, while the server runs"
        )
    family, stats = {pid}, _stats()
    while more := {child for child, (parent, *_) in stats.items() if parent in family} - family:
        family |= more
    ticks = sum(stats[one][1] for one in family if one in stats) + stats[pid][2]
    return ticks / TICKS_PER_S


def _stats() -> dict[int, tuple[int, int, int]]:
    """By process id: the parent, its own clock ticks, and the ticks of its children that have ended."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # the process has ended meanwhile
            found[int(folder.name)] = (
                int(fields[1]),
                int(fields[11]) + int(fields[12]),
                int(fields[13]) + int(fields[14]),
            )
    return found
