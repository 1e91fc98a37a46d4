"""`manage.py gate_file`: what to do when Redis (the gate) does not start because its append-only file is damaged."""

import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction

from config import redis_address
from flashsale.gate import bridge
from flashsale.gate.client import GateDown, gate, wall_ms
from flashsale.life import snapshot
from flashsale.life.rebuild import live_sales, rebuild
from flashsale.life.sale_card import cards_of
from flashsale.management import doctor_checks
from flashsale.models import Sale

# Redis 7 and newer have a folder, Redis 6.2 has one file.
NAMES = ("appendonlydir", "appendonly.aof")
CHECKERS = ("valkey-check-aof", "redis-check-aof")
ANSWERS_WITHIN_S = 60.0
LOST = (
    "Only Redis had one-time codes that are on their way (people ask for new ones), calls that count for rate limits "
    "and quotas, the sums of the metrics, and the places of the last second (they come back with their tokens)."
)


class Command(BaseCommand):
    """Says whether PostgreSQL can bring back what Redis had. Moves the damaged file away, and starts Redis."""

    help = (
        "For a Redis that does not start because its append-only file is damaged. Without --dir: checks whether "
        "PostgreSQL can rebuild every sale. With --dir: moves the file aside, if that is so and the file is damaged. "
        "Deletes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The data folder of Redis, and how to start it."""
        parser.add_argument("--dir", type=Path, help="the data folder of Redis (its setting dir), on this machine")
        parser.add_argument("--start", default="", metavar="COMMAND", help="starts Redis then, and returns")
        parser.add_argument(
            "--checker", default="", metavar="PROGRAM", help="redis-check-aof or valkey-check-aof; else one on PATH"
        )
        parser.add_argument("--unchecked", action="store_true", help="there is no checker; Redis' log names the file")

    def handle(self, **options: Any) -> None:
        """Checks, moves, starts. Each refusal changes nothing."""
        refuse_if_redis_answers()
        count = sales_that_can_be_rebuilt()
        self.stdout.write(f"PostgreSQL can rebuild all {count} sales. {LOST}")
        folder: Path | None = options["dir"]
        if folder is None:
            if options["start"]:
                raise CommandError("--start needs --dir, the data folder of Redis.")
            self.stdout.write(
                "Move the append-only file out of the data folder of Redis (or name it with --dir), and start Redis."
            )
            return
        file = append_only_file(folder)
        refuse_if_open(folder)
        if not options["unchecked"]:
            refuse_if_whole(file, checker(options["checker"]))
        moved = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        file.rename(moved)
        self.stdout.write(f"{file} is now {moved}. Delete it when the sale is over.")
        if not options["start"]:
            self.stdout.write("Start Redis now. The doors fill it.")
            return
        start(options["start"])
        for code, (_, sale) in live_sales().items():
            self.stdout.write(f"{code}: Redis knows the sale, epoch {rebuild(sale=sale).epoch}")


def refuse_if_redis_answers() -> None:
    """Raises CommandError when one server is used and it runs, also while it loads its file or refuses our password.

    With Sentinel or a cluster the other servers may run. `refuse_if_open` looks at the server of the folder then.
    """
    if redis_address.parse(settings.REDIS_URL).kind != "server":
        return
    try:
        found = f"run {bridge.run(_run_id())[:8]}"
    except GateDown as error:
        cause = error.__cause__
        if isinstance(cause, OSError | TimeoutError) or "onnect" in str(cause):
            return
        found = str(error)
    raise CommandError(f"Redis answers ({found}). Its file is not to be moved. Expected: a Redis that is down.")


def refuse_if_open(folder: Path) -> None:
    """Raises CommandError when a program of this machine has a file in the folder open (on Linux)."""
    inside = f"{folder.resolve()}/"
    for opened in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(opened.readlink()).startswith(inside):
                raise CommandError(
                    f"The program with the process id {opened.parts[2]} uses {opened.readlink()}. Stop that Redis "
                    "first. Nothing was moved."
                )


async def _run_id() -> str:
    # The link may not know yet that its server is gone, so the server is asked.
    await wall_ms()
    return await gate().run_id()


def sales_that_can_be_rebuilt() -> int:
    """How many sales Redis must know. Raises CommandError when PostgreSQL cannot give everything of one of them."""
    for check in (doctor_checks.database(), doctor_checks.draw_secrets()):
        if not check.ok:
            raise CommandError(f"{check.name}: {check.found}. Do this first: {check.fix}. Nothing was moved.")
    sales = live_sales()
    for code, (_, sale) in sales.items():
        try:
            with transaction.atomic():
                rows = list(Sale.objects.filter(pk=sale).select_related("campaign"))
                snapshot.sales_of(rows, cards_of(rows))
        except DatabaseError as error:
            raise CommandError(f"PostgreSQL does not give {code}: {error}. Nothing was moved.") from error
    return len(sales)


def append_only_file(folder: Path) -> Path:
    """The append-only file in a data folder: a folder since Redis 7."""
    for name in NAMES:
        if (folder / name).exists():
            return folder / name
    raise CommandError(
        f"{folder} has neither {' nor '.join(NAMES)}. Expected: the folder that Redis' setting dir names."
    )


def checker(named: str) -> Path:
    """The program that checks the file."""
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, CHECKERS)), None)
    if found is None:
        raise CommandError(
            f"{named or ' and '.join(CHECKERS)}: no such program. Install the tools of Redis, name one with --checker, "
            "or read Redis' log: if it calls the append-only file bad, repeat with --unchecked. Nothing was moved."
        )
    return Path(found)


def refuse_if_whole(file: Path, program: Path) -> None:
    """Raises CommandError when the checker finds nothing wrong with the file."""
    manifests = sorted(file.glob("*.manifest")) if file.is_dir() else [file]
    if not manifests:
        return  # Redis does not read a folder without one
    if not is_damaged(manifests[0], program):
        raise CommandError(
            f"{program.name} finds nothing wrong with {file}. Redis does not start for another reason: read its log. "
            "Nothing was moved."
        )
    if any(map(is_of_valkey, file.glob("*.base.rdb"))) and not any(
        is_damaged(part, program) for part in file.glob("*.incr.aof")
    ):
        raise CommandError(
            f"{program.name} finds nothing wrong with the parts of {file} that it can read. It cannot read the base "
            "file of Valkey 9. Read the log: if it calls the append-only file bad, repeat with --unchecked. "
            "Nothing was moved."
        )


def is_damaged(part: Path, program: Path) -> bool:
    """Whether the checker finds something wrong with a file, or with all files that a manifest names."""
    return subprocess.run([str(program), str(part)], capture_output=True, check=False).returncode != 0


def is_of_valkey(base: Path) -> bool:
    """Whether Valkey 9 has written this base file. Checkers up to Valkey 9.1 call each of these damaged."""
    with base.open("rb") as file:
        return file.read(6) == b"VALKEY"


def start(command: str) -> None:
    """Runs the command, and waits until Redis answers."""
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise CommandError(f"{command!r} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while True:
        try:
            bridge.run(_run_id())
        except GateDown as error:
            if time.monotonic() > deadline:
                raise CommandError(f"Redis does not answer within {ANSWERS_WITHIN_S:.0f} s: {error}") from error
            time.sleep(0.2)
        else:
            return
