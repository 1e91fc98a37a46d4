"""Copies of the product without one guard, in the Lua script and in the database. A story must notice it."""

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("flashsale", "{last}")]
    operations = [{operations}]
"""


@dataclass(frozen=True, slots=True)
class Breakage:
    """Regular expressions to replace in files, and constraints (model, name) to drop from the tables."""

    edits: dict[str, list[tuple[str, str]]]
    dropped: list[tuple[str, str]] = field(default_factory=list)


# A person gets a new place with every entry, and the limit does not count units.
LIMIT = Breakage(
    edits={
        "flashsale/gate/lua/enter.lua": [
            (r"local packed = packed_place_of\(.*\)$", "local packed = false"),
            (r"if found\.used_up and not unchanged then return \{'limit_reached'\} end", ""),
        ],
        "flashsale/gate/lua/reserve.lua": [(r"return 'limit_reached' end", "local _ = 0 end")],
    },
    dropped=[("limitslot", "one_use_of_a_limit_slot"), ("limitslot", "limit_slot_within_limit")],
)

# Redis gives a unit out and keeps it as free. PostgreSQL no longer checks the number of rows that an update changed.
STOCK = Breakage(
    edits={
        "flashsale/gate/lua/reserve.lua": [
            (r"redis\.call\('ZPOPMIN', (.*), item\[2\]\)", r"redis.call('ZRANGE', \1, 0, item[2] - 1, 'WITHSCORES')")
        ],
        "flashsale/books/reservations.py": [
            (r"if cursor\.rowcount != len\(rows\):", "if cursor.rowcount > len(rows):")
        ],
    },
    dropped=[("reservationunit", "one_active_reservation_per_unit")],
)

# A person may reserve before the call.
ORDER = Breakage(
    edits={
        "flashsale/gate/lua/reserve.lua": [
            (
                r"if tonumber\(request\.number\) > called then return 'not_called' end",
                "if tonumber(request.number) > called then return nil end",
            )
        ],
    },
)


def copy(folder: Path, *breakages: Breakage) -> Path:
    """Copies the product to `folder` and removes the guards."""
    for name in ("flashsale", "simulation", "config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", folder)
    for breakage in breakages:
        _edit(folder, breakage)
    dropped = [constraint for breakage in breakages for constraint in breakage.dropped]
    if dropped:
        _drop(folder / "flashsale" / "migrations", dropped)
    return folder


def _edit(folder: Path, breakage: Breakage) -> None:
    for name, edits in breakage.edits.items():
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            text, found = re.subn(old, new, text, flags=re.MULTILINE)
            if not found:
                raise LookupError(f"{name} has no guard that reads: {old}")
        path.write_text(text, encoding="utf-8")


def _drop(migrations: Path, constraints: list[tuple[str, str]]) -> None:
    last = max(path.stem for path in migrations.glob("[0-9]*.py"))
    drops = (f'migrations.RemoveConstraint("{model}", "{name}")' for model, name in constraints)
    (migrations / "9999_broken.py").write_text(MIGRATION.format(last=last, operations=", ".join(drops)))
