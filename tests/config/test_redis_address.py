"""Addresses of Redis: every form that docs/operate.md names is read, and each other one is refused with its reason."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from config.redis_address import BadAddress, broker_of, celery_url, limits_of, parse

OPERATE = (Path(settings.BASE_DIR) / "docs/operate.md").read_text(encoding="utf-8")


def test_every_documented_address_is_read() -> None:
    found = re.findall(r"^(REDIS_URL|BROKER_URL|LIMITS_URL)=(\S+)$", OPERATE, re.MULTILINE)
    kinds = {parse(url, name=name).kind for name, url in found}
    assert kinds == {"server", "sentinel", "cluster"}


def test_an_address_keeps_user_password_database_and_options_of_each_host() -> None:
    found = parse("rediss+sentinel://u:p%40ss@a:1,b,[::1]:3/2?master=sales&sentinel_password=s&ssl_ca_certs=/ca")
    assert (found.kind, found.hosts, found.master) == ("sentinel", (("a", 1), ("b", 26379), ("::1", 3)), "sales")
    assert (found.sentinel_password, found.tls) == ("s", True)
    assert found.url == "rediss://u:p%40ss@a:1/2?ssl_ca_certs=%2Fca"
    assert found.url_of("::1", 5) == "rediss://u:p%40ss@[::1]:5/2?ssl_ca_certs=%2Fca"
    assert "p%40ss" not in repr(found)
    assert parse("redis+cluster://a,b:7000").hosts == (("a", 6379), ("b", 7000))
    assert parse("unix:///run/redis.sock?db=0").kind == "server"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://:word@a:1/0", "REDIS_URL has no master="),
        ("redis+cluster://:word@a:1/3", "has only the database 0"),
        ("redis+cluster://:word@a:b", "names the host 'a:b'"),
        ("redis+cluster://:word@a,,b", "names an empty host"),
        ("redis+cluser://:word@a", r"begins with redis\+cluser://"),
        ("http+cluster://:word@a", r"begins with http\+cluster://"),
    ],
)
def test_a_wrong_address_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(BadAddress, match=reason) as refused:
        parse(url)
    assert "word" not in str(refused.value).replace(":password@", "")


def test_celery_gets_its_own_form_of_sentinel_and_refuses_what_it_does_not_know() -> None:
    address = broker_of("redis+sentinel://:word@a:1,b:2/0?master=sales&sentinel_password=s")
    assert address == "redis+sentinel://:word@a:1,b:2/1?master=sales&sentinel_password=s"
    options = {"master_name": "sales", "sentinel_kwargs": {"password": "s"}}
    assert celery_url(address) == ("sentinel://:word@a:1/1;sentinel://:word@b:2/1", options)
    assert celery_url("rediss://:word@a:1/1") == ("rediss://:word@a:1/1?ssl_cert_reqs=required", {})
    for url, reason in (
        ("rediss+sentinel://a:1/1?master=sales", "BROKER_URL uses TLS with Sentinel"),
        ("redis+cluster://a:1", "BROKER_URL is a Redis Cluster"),
    ):
        with pytest.raises(BadAddress, match=reason):
            celery_url(url)


def test_a_cluster_for_the_sales_needs_servers_for_celery_and_the_limits() -> None:
    with pytest.raises(BadAddress, match="set BROKER_URL"):
        broker_of("redis+cluster://a:1")
    with pytest.raises(BadAddress, match="set LIMITS_URL"):
        limits_of("redis+cluster://a:1")
