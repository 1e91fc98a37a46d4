"""GET /metrics: the sums of all processes, for those who may read them, without a word of a caller."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as own_settings
from django.db import OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from config import celery
from flashsale import metrics, tasks
from flashsale.gate import bridge
from flashsale.gate import metrics as gate_metrics
from flashsale.gate.client import GateDown
from flashsale.life import monitor
from flashsale.models import Sale
from tests.factories import identity, open_now, tend
from tests.faults.steps import buy, called, told
from tests.life.sampling import forget_samplers, take
from tests.web.asgi import send_request
from tests.web.partner import Partner

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-tests-only"
DOCUMENT = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "config/monitoring/grafana.json").read_text(encoding="utf-8"))
ALL = (*metrics.COUNTED, *metrics.READ)


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """Nothing is counted yet."""
    metrics.forget()
    yield
    metrics.forget()


@pytest.fixture
def reader(settings: Settings, client: Client) -> Client:
    settings.FLASHSALE_METRICS_TOKEN = TOKEN
    return client


def read(client: Client) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The samples of the page: name → labels → value. Before that, this process sends what it has counted."""
    with suppress(GateDown):
        bridge.run(gate_metrics.send())
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(found: Any, name: str, **labels: str) -> float:
    return float(found[name][tuple(sorted(labels.items()))])


@pytest.mark.django_db
def test_only_those_whom_a_setting_names_may_read_it(client: Client, settings: Settings, gate: redis.Redis) -> None:
    assert client.get("/metrics").status_code == 404
    settings.FLASHSALE_METRICS_TOKEN = TOKEN
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
        refused = client.get("/metrics", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert refused["WWW-Authenticate"] == "Bearer"
        assert b"flashsale_" not in refused.content
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    settings.FLASHSALE_METRICS_TOKEN = ""
    settings.FLASHSALE_METRICS_NETWORKS = ["10.1.0.0/16", "fd00::/8"]
    for address, status in (("10.1.2.3", 200), ("fd00::1", 200), ("10.2.0.1", 403), ("127.0.0.1", 403)):
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == status
    # A client cannot write itself into a network.
    forwarded = client.get("/metrics", REMOTE_ADDR="10.2.0.1", headers={"X-Forwarded-For": "10.1.2.3"})
    assert forwarded.status_code == 403
    assert client.post("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_what_happens_in_a_sale_is_counted_by_labels_that_no_caller_writes(
    reader: Client, gate: redis.Redis, sale: Sale, lazada: Partner
) -> None:
    place = lazada.enter("ani")
    lazada.enter("budi")
    refused = lazada.post("look", {"place": "no-place-of-ours"})
    unknown = send_request("POST", "/v1/sales/invented-by-a-caller/lines/invented/enter", {})
    open_now(sale)
    tend(sale)
    held = lazada.post(
        "reserve", {"place": place, "items": [{"sku": "POCO-M3-4-64", "quantity": 1}]}, **{"idempotency-key": "k-1"}
    )
    assert (refused.code, unknown.code, held.status) == ((400, "bad_token"), (404, "not_found"), 201)
    forget_samplers()
    take()
    monitor.check_all()
    found = read(reader)
    requests = "flashsale_door_requests_total"
    assert value(found, requests, verb="enter", outcome="ok") == 2
    assert value(found, requests, verb="look", outcome="bad_token") == 1
    assert value(found, requests, verb="enter", outcome="not_found") == 1
    assert value(found, requests, verb="reserve", outcome="ok") == 1
    assert value(found, "flashsale_door_request_seconds_count", verb="enter") == 3
    assert value(found, "flashsale_door_request_seconds_bucket", verb="enter", le="+Inf") == 3
    assert value(found, "flashsale_gate_call_seconds_count", call="reserve") == 1
    assert value(found, "flashsale_writer_batch_size_sum") == 1
    assert value(found, "flashsale_writer_commit_seconds_count") == 1
    assert found["flashsale_up"] == {
        (("part", "gate"),): 1,
        (("part", "books"),): 1,
    }
    assert value(found, "flashsale_sale_units", sale=sale.code, line="lazada", state="held") == 1
    assert value(found, "flashsale_sale_people", sale=sale.code, line="lazada", step="entered") == 2
    assert value(found, "flashsale_promise_broken", sale=sale.code, promise="1") == 0
    assert value(found, "flashsale_running_sales") == 1
    text = reader.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).content.decode()
    written = [*identity("ani").values(), "invented", "no-place-of-ours", place, "k-1", "127.0.0.1"]
    assert [word for word in written if word in text] == []


@pytest.mark.django_db(transaction=True)
def test_payments_letters_and_tasks_are_counted(reader: Client, gate: redis.Redis) -> None:
    _, (ani,) = called("ani")
    order = buy(ani)
    told(order.attempts.get().reference)
    tasks.send_notices.apply()
    tasks.sweep_samples.apply()
    assert tasks.carry_on_review.apply(kwargs={"run": "not a run"}).failed()
    celery._sign_of_beat()
    found = read(reader)
    assert value(found, "flashsale_payment_calls_total", account="demo", call="begin", result="ok") == 1
    assert value(found, "flashsale_payment_call_seconds_count", account="demo", call="look") >= 1
    assert value(found, "flashsale_payment_notifications_total", account="demo") == 1
    assert value(found, "flashsale_lane_rows_total", account="demo", result="done") == 1
    assert value(found, "flashsale_batch_size_sum", work="start-payments") == 1
    assert value(found, "flashsale_tasks_total", task="flashsale.tasks.sweep_samples", state="success") == 1
    assert value(found, "flashsale_tasks_total", task="flashsale.tasks.carry_on_review", state="failure") == 1
    assert value(found, "flashsale_task_seconds_count", task="flashsale.tasks.sweep_samples") == 1
    assert {dict(labels)["sign"] for labels in found["flashsale_sign_of_life_age_seconds"]} == {"beat", "worker"}
    assert value(found, "flashsale_payment_rows_due", rows="notifications") == 0


PROCESS = """
import os, django
django.setup()
from flashsale import metrics
from flashsale.gate import bridge, metrics as gate_metrics
metrics.TASKS.add("one", "success", by=2)
child = os.fork()
metrics.TASKS.add("one", "success", by=1 if child else 10)
bridge.run(gate_metrics.send())
bridge.run(gate_metrics.send())
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.django_db
def test_each_process_adds_what_it_counted_itself_once(reader: Client, gate: redis.Redis) -> None:
    metrics.TASKS.add("one", "success", by=100)
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROCESS], cwd=ROOT, check=True)
    assert value(read(reader), "flashsale_tasks_total", task="one", state="success") == 113


@pytest.mark.django_db
def test_counts_begin_at_nothing_in_each_run_of_redis_and_wait_while_it_is_away(
    reader: Client, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.TASKS.add("one", "success", by=5)
    with monkeypatch.context() as patch:
        patch.setattr(gate_metrics, "metrics_key", away)
        found = read(reader)
        assert (set(found) & {"flashsale_tasks_total"}, value(found, "flashsale_up", part="gate")) == (set(), 0)
        assert value(found, "flashsale_up", part="books") == 1
    assert value(read(reader), "flashsale_tasks_total", task="one", state="success") == 5
    (key,) = gate.keys("fs:metrics:*")
    assert key == f"fs:metrics:{gate.info('server')['run_id']}".encode()
    assert 0 < gate.ttl(key) <= gate_metrics.KEPT_S
    # What a process of another release counts otherwise is passed over.
    for field in ("flashsale_tasks one 0", "flashsale_tasks one success 7", "unknown_metric 0"):
        gate.hset(key, field, 99)
    metrics.TASKS.add("one", "success")
    assert read(reader)["flashsale_tasks_total"] == {(("state", "success"), ("task", "one")): 6}


def away(_run_id: str) -> str:
    raise GateDown("no answer")


@pytest.mark.django_db
def test_without_postgresql_the_sums_are_there_and_it_says_so(
    reader: Client, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.TASKS.add("one", "success")
    monkeypatch.setattr("flashsale.web.metrics_page.samples.running_sales", silent)
    found = read(reader)
    assert (value(found, "flashsale_up", part="gate"), value(found, "flashsale_up", part="books")) == (1, 0)
    assert value(found, "flashsale_tasks_total", task="one", state="success") == 1


def silent(_now: object) -> None:
    raise OperationalError("connection refused")


def test_every_metric_stands_in_the_operators_table_and_no_other() -> None:
    rows = re.findall(r"^\| `(flashsale_\w+)` \| (\w+) \| ([^|]*) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    told_of = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}
    assert told_of == {metric.name: (metric.kind, metric.labels, metric.meaning) for metric in ALL}


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    queries += [part["query"]["query"] for part in DASHBOARD["templating"]["list"] if part["type"] == "query"]
    assert len(queries) > 30
    exposed = {name: metric for metric in ALL for name in names_of(metric)}
    for query in queries:
        names = re.findall(r"flashsale_\w+", query)
        assert [name for name in names if name not in exposed] == [], query
        labels = {"le", *(label for name in names for label in exposed[name].labels)}
        used = re.findall(r"by \(([^)]*)\)", query) + re.findall(r"(\w+)(?:=|!=|=~)\"", query)
        assert {label.strip() for part in used for label in part.split(",")} - labels == set(), query
        assert query.count("(") == query.count(")")
    # Nothing that is measured is missing on it.
    asked = {exposed[name].name for query in queries for name in re.findall(r"flashsale_\w+", query)}
    assert {metric.name for metric in ALL} - asked == set()


def names_of(metric: metrics.Metric) -> list[str]:
    """The names of the samples of a metric."""
    if isinstance(metric, metrics.Histogram):
        return [f"{metric.name}_{part}" for part in ("bucket", "sum", "count")]
    return [f"{metric.name}_total" if isinstance(metric, metrics.Counter) else metric.name]


def test_no_metric_has_a_label_for_a_person_a_request_or_an_address() -> None:
    labels = {label for metric in ALL for label in metric.labels}
    assert labels == {
        "account", "call", "kind", "line", "outcome", "part", "promise", "reason", "result", "rows", "sale", "sign",
        "state", "step", "task", "verb", "work",
    }  # fmt: skip


def test_the_names_follow_the_customs_of_prometheus() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert re.fullmatch(r"flashsale(_[a-z0-9]+)+", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert own_settings.FLASHSALE_METRICS_TOKEN == ""
