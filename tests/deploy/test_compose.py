"""docker-compose.yml follows the specification, and its services start, answer and end at SIGTERM.

No container engine is needed, because the commands run on this host (tests/deploy/host.py). Networks, volumes, limits
and the image itself are not tested.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.compose import COMPOSE, ROOT, example, filled, services, variables
from tests.deploy.host import CELERY, REDIS, SERVING, Host

OURS = [*SERVING, *CELERY, "migrate"]
PUBLIC = {"FLASHSALE_RECEIPT_OLD_KEYS"}
SECRET = ("SECRET", "PEPPER", "KEY", "PASSWORD", "EMAIL_URL")


# Only sites with such a gateway need them. A server does not start without those of its senders (config/codes.py).
OF_SOME_SITES = {
    "FLASHSALE_ALARM_SECRET",
    "FLASHSALE_OIDC_CLIENT_SECRET",
    "FLASHSALE_WHATSAPP_SECRET",
    "FLASHSALE_SMS_PASSWORD",
}


def _is_secret(name: str) -> bool:
    return name not in PUBLIC | OF_SOME_SITES and any(part in name for part in SECRET)


def test_the_file_follows_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/deploy/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    errors = [error.message for error in validator.iter_errors(yaml.safe_load(COMPOSE.read_text()))]
    assert errors == []


def test_the_parts_are_those_of_production() -> None:
    optional = {name for name, told in services().items() if "profiles" in told}
    assert optional == {"pgbouncer"}
    assert set(services()) - optional == {*OURS, *REDIS, "postgres", "nginx"}


def test_the_services_go_to_pgbouncer_only_when_the_example_is_changed_as_the_manual_says() -> None:
    env = {entry.name: entry.value for entry in example()} | {"POSTGRES_PASSWORD": "o", "POSTGRES_APP_PASSWORD": "p"}
    manual = (ROOT / "docs/operate.md").read_text()
    told = dict(
        line.split("=") for line in manual.partition("In `.env`:\n\n```\n")[2].partition("\n```")[0].split("\n")
    )

    def addresses(more: dict[str, str]) -> dict[str, Any]:
        parts = {name: services()[name]["environment"] for name in OURS}
        return {
            name: tuple(filled(part[key], env | more) for key in ("DATABASE_URL", "FLASHSALE_DB_POOLER"))
            for name, part in parts.items()
        }

    app, owner = "postgres://flashsale_app:p@", ("postgres://flashsale:o@postgres:5432/flashsale", "")
    direct = dict.fromkeys(OURS, (f"{app}postgres:5432/flashsale", ""))
    assert addresses({}) == direct | {"migrate": owner}
    served = dict.fromkeys(SERVING, (f"{app}pgbouncer:6432/flashsale", "transaction"))
    working = dict.fromkeys(CELERY, (f"{app}pgbouncer:6432/flashsale_work", "transaction"))
    assert addresses(told) == served | working | {"migrate": owner}


def test_every_variable_is_in_the_example_and_no_other() -> None:
    names = [entry.name for entry in example()]
    assert sorted(names) == sorted({name for name, _ in variables()})


# Settings that the services do not get from .env, by why not.
NOT_PASSED = {
    **dict.fromkeys(("FLASHSALE_DEMO", "FLASHSALE_DEBUG", "FLASHSALE_TEST_SQLITE"), "not for production"),
    **dict.fromkeys(("FLASHSALE_VAR", "FLASHSALE_STATIC", "FLASHSALE_HASHED_STATIC"), "decided by the image"),
    "FLASHSALE_DB_STATEMENT_S": "doors and web have another default than worker and migrate",
    "FLASHSALE_WEBHOOK_LOCAL": "production refuses it, because a webhook could call the inner network",
}


def test_every_setting_of_the_server_is_passed_to_the_services_or_has_a_reason() -> None:
    read: set[str] = set()
    for path in (ROOT / "config").glob("*.py"):
        read |= set(re.findall(r'(?:env\.\w+|_list)\(\s*"([A-Z_]+)"', path.read_text()))
    assert {"FLASHSALE_URL", "FLASHSALE_HOSTS", "DATABASE_URL", "LIMITS_URL"} <= read
    for name in OURS:
        assert read - set(services()[name]["environment"]) == set(NOT_PASSED), name


def test_a_variable_that_is_left_empty_counts_as_unset(tmp_path: Path) -> None:
    found = run_settings(tmp_path, FLASHSALE_URL="", LIMITS_URL="", FLASHSALE_ORIGINS="https://sale.example.com")
    assert found == {"FLASHSALE_URL": "https://sale.example.com", "LIMITS_URL": f"unix://{tmp_path}/redis.sock?db=0"}


def test_no_secret_has_a_default() -> None:
    assert {name for name, kind in variables() if _is_secret(name) and kind != "?"} == set()
    assert [entry.name for entry in example() if _is_secret(entry.name) and entry.value] == []


def test_every_secret_comes_with_the_way_to_make_it() -> None:
    assert [entry.name for entry in example() if _is_secret(entry.name) and not (entry.make or entry.like)] == []


def test_every_service_that_keeps_running_restarts_and_has_a_health_check() -> None:
    going = {name: told for name, told in services().items() if name != "migrate"}
    assert {name for name, told in going.items() if told.get("restart") != "unless-stopped"} == set()
    assert {name for name, told in going.items() if not told.get("healthcheck", {}).get("test")} == set()


def test_services_may_be_scaled() -> None:
    assert [name for name, told in services().items() if "container_name" in told] == []


def test_only_nginx_can_be_reached_from_outside_and_only_on_the_loopback() -> None:
    ports = {name: told["ports"] for name, told in services().items() if "ports" in told}
    assert set(ports) == {"nginx"}
    assert all(port.startswith("127.0.0.1:") for opened in ports.values() for port in opened)


def test_data_lives_in_named_volumes() -> None:
    declared = yaml.safe_load(COMPOSE.read_text())["volumes"]
    mounted = {volume.partition(":")[0] for told in services().values() for volume in told.get("volumes", [])}
    assert mounted == set(declared)


def test_the_image_serves_by_the_same_server_as_the_service() -> None:
    told = (ROOT / "Dockerfile").read_text().replace('", "', "=").replace('"', "")
    assert all(option in told for option in ("config.asgi:application", "--workers-kill-timeout=15", "--port=8000"))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """All services run, as after `docker compose up`."""
    books = os.environ.get("TEST_DATABASE_URL", "")
    if not books:
        pytest.skip("SQLite is not what the services use")
    running = Host(folder=tmp_path_factory.mktemp("deploy"), books_url=books)
    try:
        _start(running)
        yield running
    finally:
        running.stop_all()


def _start(host: Host) -> None:
    host.make_books()
    host.collect_static()
    for name in REDIS:
        host.start(name)
    for name in REDIS:
        host.wait_healthy(name)
    host.run_once("migrate")
    for name in (*SERVING, *CELERY):
        host.start(name)


def _get(host: Host, name: str, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    link = HTTPConnection("127.0.0.1", host.ports[name], timeout=60)
    try:
        link.request("GET", path, headers={"Host": host.env["FLASHSALE_HOSTS"], "Accept-Language": "en"} | headers)
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        link.close()


def run_settings(var: Path, **env: str) -> Any:
    program = "import json; from config import settings as s; print(json.dumps([s.FLASHSALE_URL, s.LIMITS_URL]))"
    own = {"PATH": os.environ["PATH"], "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(var)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=own | env, capture_output=True, text=True, check=True
    )
    return dict(zip(("FLASHSALE_URL", "LIMITS_URL"), json.loads(done.stdout), strict=True))


def _logs(host: Host, name: str, words: str, *, within: float = 120.0) -> bool:
    log: Path = host.processes[name].log
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if words in log.read_text(errors="replace"):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SERVING, *CELERY])
def test_the_service_starts_and_its_health_check_passes(host: Host, name: str) -> None:
    host.wait_healthy(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVING)
def test_pages_are_served_under_the_names_of_the_site(host: Host, name: str) -> None:
    assert _get(host, name, "/readyz")[::2] == (200, b'{"ready": true}')
    assert _get(host, name, "/livez")[::2] == (200, b'{"alive": true}')
    status, headers, page = _get(host, name, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    style = re.search(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', page.decode())
    assert style
    assert _get(host, name, style[1])[0] == 200


@pytest.mark.slow
def test_the_hot_door_stands_before_django_in_doors_alone(host: Host) -> None:
    path = "/v1/sales/none/lines/none/status"
    status, headers, body = _get(host, "doors", path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["detail"] == "There is no sale with this code."
    assert json.loads(_get(host, "web", path)[2])["detail"] != "There is no sale with this code."


@pytest.mark.slow
def test_beats_send_and_the_worker_does(host: Host) -> None:
    assert _logs(host, "worker", "worker@")
    assert _logs(host, "beat-a", "Scheduler: Sending due task tick running sales")
    assert _logs(host, "beat-b", "Scheduler: Sending due task tick running sales")
    assert _logs(host, "worker", "flashsale.tasks.tick_sales")
    assert _logs(host, "worker", "succeeded in")


@pytest.mark.slow
def test_each_web_process_has_the_metrics_of_all_services_for_those_who_have_the_token(host: Host) -> None:
    token = {"Authorization": f"Bearer {host.env['FLASHSALE_METRICS_TOKEN']}"}
    wanted = {
        'flashsale_tasks_total{state="success",task="flashsale.tasks.tick_sales"}',
        *(f'flashsale_sign_of_life_age_seconds{{sign="{sign}"}}' for sign in ("tick", "beat", "worker", "monitor")),
        "flashsale_celery_queue_length", 'flashsale_gate_call_seconds_count{call="take_due"}',
        'flashsale_up{part="gate"}', 'flashsale_up{part="books"}',
    }  # fmt: skip
    for name in SERVING:
        assert _get(host, name, "/metrics")[0] == 401
        missing, until = wanted, time.monotonic() + 120
        while missing and time.monotonic() < until:
            text = _get(host, name, "/metrics", **token)[2].decode()
            missing = wanted - {line.rpartition(" ")[0] for line in text.splitlines()}
            time.sleep(0.5)
        assert missing == set()


@pytest.mark.slow
def test_a_silent_gate_takes_the_service_out_of_the_rotation_with_a_reason(host: Host) -> None:
    assert host.stop("redis-sales") == 0
    for name in SERVING:
        status, headers, body = _get(host, name, "/readyz")
        problem = json.loads(body)
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert (problem["code"], problem["reasons"]) == ("not_ready", ["Redis (the gate) does not answer."])
        assert _get(host, name, "/livez")[0] == 200
    host.start("redis-sales")
    host.wait_healthy("redis-sales")
    assert [name for name in SERVING if not host.healthy(name)] == []


@pytest.mark.slow
def test_every_service_ends_within_its_grace_when_asked(host: Host) -> None:
    for name in (*CELERY, *SERVING):
        host.wait_healthy(name)  # a service that still starts has no handler for SIGTERM yet
    codes = {name: host.stop(name) for name in (*CELERY, *SERVING, *REDIS)}
    assert codes == dict.fromkeys(codes, 0)
