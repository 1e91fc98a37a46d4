"""Rate limits count exactly, and refuse when Redis cannot count."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from django.test import RequestFactory
from django_ratelimit.core import get_usage
from pytest_django import Settings

from flashsale.gate.ratelimit_cache import RefusingRedisCache
from simulation.processes import free_port


def _usage(*, increment: bool = True) -> dict[str, Any]:
    request = RequestFactory().get("/")
    usage: dict[str, Any] = get_usage(request, group="test", key="ip", rate="50/h", increment=increment)
    return usage


@pytest.fixture
def _dead_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = RefusingRedisCache(f"redis://127.0.0.1:{free_port()}/0", {})
    monkeypatch.setattr("django_ratelimit.core.caches", {"limits": dead})


@pytest.mark.usefixtures("gate")
def test_exactly_as_many_calls_as_the_limit_pass_when_all_come_at_once() -> None:
    with ThreadPoolExecutor(16) as pool:
        limited = list(pool.map(lambda _: _usage()["should_limit"], range(200)))
    assert limited.count(False) == 50


def test_limits_stand_in_redis_under_their_own_prefix(gate: redis.Redis) -> None:
    _usage()
    assert {key.partition(b":")[0] for key in gate.scan_iter()} - {b"fs"} == {b"limits"}


@pytest.mark.usefixtures("_dead_redis")
@pytest.mark.parametrize("increment", [True, False])
def test_a_limiter_that_cannot_count_refuses(increment: bool) -> None:
    assert _usage(increment=increment)["should_limit"] is True


@pytest.mark.usefixtures("_dead_redis")
def test_a_limiter_that_may_fail_open_does(settings: Settings) -> None:
    settings.RATELIMIT_FAIL_OPEN = True
    assert get_usage(RequestFactory().get("/"), group="test", key="ip", rate="50/h", increment=True) is None
