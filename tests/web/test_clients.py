"""Clients that others' programs generate from docs/openapi.json compile, and a walk with each of them buys a unit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from flashsale.models import Sale
from tests.browser.site import Site, serving
from tests.factories import PHONE, lobby_sale, open_now, poco_campaign
from tests.house.reference import DOCS
from tests.web.partner import key_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("os.environ.get('FLASHSALE_TEST_DB') == 'sqlite'", reason="SQLite has one writer"),
]
WALKS = DOCS / "clients"
BOUGHT = "confirmed reservation.held payment.started payment.paid reservation.confirmed"
BIN = Path(sys.executable).parent


@pytest.fixture
def sale(transactional_db: None, gate: redis.Redis) -> Sale:
    channels = [{"code": "lazada", "name": "Lazada", "payment_accounts": "partner", "order_letters": False}]
    return lobby_sale(poco_campaign(channels=channels), stock={PHONE: 5}, claim_s=3600, hold_s=3600)


@pytest.fixture
def site(sale: Sale, tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as site:
        yield site


def walk(command: list[str], folder: Path, sale: Sale, site: Site) -> str:
    """Runs a walk, opens the sale when it has entered, and returns what it says at its end."""
    env = os.environ | {"URL": site.url, "KEY": key_of(sale.campaign, "lazada"), "SALE": sale.code, "LINE": "lazada"}
    process = subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1
    )
    try:
        if process.stdout.readline() == "entered\n":
            open_now(sale), open_now(sale)  # the second time calls people
        said, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return said.strip()


@pytest.fixture(scope="session")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated package flashsale_client."""
    folder = tmp_path_factory.mktemp("python")
    made = subprocess.run(
        [BIN / "openapi-python-client", "generate", "--path", DOCS / "openapi.json", "--meta", "none",
         "--output-path", folder / "flashsale_client", "--fail-on-warning"],
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    shutil.copy(WALKS / "walk.py", folder)
    return folder


def test_a_python_client_has_no_error_of_types(python_client: Path) -> None:
    # client.py is the same for every description, and has errors of the generator's own.
    (python_client / "mypy.ini").write_text(
        "[mypy]\ncheck_untyped_defs = True\n[mypy-flashsale_client.client]\nignore_errors = True\n"
    )
    found = subprocess.run(
        [BIN / "mypy", "walk.py", "flashsale_client"],
        cwd=python_client, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout


def test_a_python_client_buys_a_unit(python_client: Path, sale: Sale, site: Site) -> None:
    assert walk([sys.executable, "walk.py"], python_client, sale, site) == BOUGHT


def test_a_python_client_reads_values_that_are_newer_than_itself(python_client: Path) -> None:
    event = {"id": "1", "type": "parcel.lost", "at": "2026-01-26T03:00:00Z", "sale": "s", "line": None,
             "reservation": None, "sequence": 1, "data": {"new": [1]}, "more": "a new member"}  # fmt: skip
    problem = {"type": "/problems/too_cold", "title": "", "status": 409, "code": "too_cold", "detail": "",
               "request_id": ""}  # fmt: skip
    script = (
        "import json, sys\n"
        "from flashsale_client.models import Event, EventType, Problem, ProblemCode\n"
        "event, problem = json.loads(sys.argv[1])\n"
        "print(Event.from_dict(event).type_, Problem.from_dict(problem).code)\n"
        "print(Event.from_dict(event | {'type': 'sale.opened'}).type_ is EventType.SALE_OPENED)\n"
        "print(Problem.from_dict(problem | {'code': 'sold_out'}).code is ProblemCode.SOLD_OUT)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, json.dumps([event, problem])],
        cwd=python_client, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.stdout.split(), said.stderr) == (["parcel.lost", "too_cold", "True", "True"], "")


NODE_TOOLS = ("node", "tsc", "openapi-typescript")
NO_NODE = next((name for name in NODE_TOOLS if shutil.which(name) is None), None)


@pytest.mark.skipif(NO_NODE is not None, reason=f"no Node tools on PATH: {NO_NODE}")
def test_a_typescript_client_compiles_and_buys_a_unit(tmp_path: Path, sale: Sale, site: Site) -> None:
    tool = Path(shutil.which("openapi-typescript")).resolve()
    packages = next(folder for folder in tool.parents if folder.name == "node_modules")
    folder = tmp_path / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(packages)
    (folder / "package.json").write_text('{"type": "module"}')
    shutil.copy(WALKS / "walk.ts", folder)
    for command in (
        ["openapi-typescript", str(DOCS / "openapi.json"), "--output", "schema.d.ts"],
        ["tsc", "--strict", "--target", "es2022", "--module", "nodenext", "walk.ts"],
    ):
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
    assert walk(["node", "walk.js"], folder, sale, site) == BOUGHT
