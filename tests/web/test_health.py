"""The health checks. tests/deploy covers a Redis that does not answer."""

import pytest
import redis
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import Client


def _silent(_rows: object) -> bool:
    raise OperationalError("connection refused")


@pytest.mark.django_db
def test_ready_when_postgresql_and_redis_answer(gate: redis.Redis, client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})
    assert "no-cache" in answer["Cache-Control"]


@pytest.mark.django_db
def test_a_silent_database_is_a_problem_with_its_reason(
    gate: redis.Redis, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuerySet, "exists", _silent)
    answer = client.get("/readyz", headers={"X-Request-Id": "probe-1", "Accept-Language": "en"})
    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, "application/problem+json", "5")
    assert answer.json() == {
        "type": "/problems/not_ready",
        "title": "The sale cannot answer right now. Please try again.",
        "status": 503,
        "code": "not_ready",
        "detail": "PostgreSQL (the books) does not answer (OperationalError).",
        "request_id": "probe-1",
        "retry_after_s": 5,
        "reasons": ["PostgreSQL (the books) does not answer (OperationalError)."],
    }


def test_alive_needs_neither_postgresql_nor_redis(client: Client) -> None:
    assert client.get("/livez").json() == {"alive": True}


def test_health_is_only_read(client: Client) -> None:
    assert client.post("/readyz").status_code == 405
