"""What is for a demo does not start in production: the refusal names the setting, and doctor says it too."""

import sys
from pathlib import Path
from typing import Any

import pytest

from config.production import refusals, signs_of_production
from tests.config.start import SERVERS, SHOP, SITE, run


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("env", "words"),
    [
        (SITE | SHOP | {"FLASHSALE_DEBUG": "1"}, ["FLASHSALE_DEBUG is on", "Unset FLASHSALE_DEBUG"]),
        (SITE | SHOP | {"FLASHSALE_DEMO": "1"}, ["FLASHSALE_DEMO is on", "Unset FLASHSALE_DEMO"]),
        (SITE, ["FLASHSALE_PAYMENT_PROVIDER is the provider of the demo", "Set FLASHSALE_PAYMENT_PROVIDER"]),
        (
            SITE | {"FLASHSALE_PAYMENT_PROVIDER": "flashsale.providers.payments.DemoProvider"},
            ["FLASHSALE_PAYMENT_PROVIDER is the provider of the demo", "Set FLASHSALE_PAYMENT_PROVIDER"],
        ),
        (SHOP | {"FLASHSALE_DEBUG": "true"}, ["FLASHSALE_DEBUG is on", "Unset FLASHSALE_DEBUG"]),
    ],
    ids=["debug", "demo", "provider", "provider by another name", "debug without a demo"],
)
@pytest.mark.slow
def test_no_server_starts_with_a_setting_of_a_demo(
    server: str, env: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    done = run(SERVERS[server], tmp_path, env)
    assert done.returncode == 1
    assert "This set-up must not start." in done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize("server", ["doors", "web"])
@pytest.mark.parametrize(
    "env",
    [SITE | SHOP, {"FLASHSALE_DEMO": "1"}, {"FLASHSALE_DEMO": "1", "FLASHSALE_DEBUG": "1"}, {}],
    ids=["production", "demo", "demo with debug pages", "own machine"],
)
def test_the_right_settings_start(server: str, env: dict[str, str], tmp_path: Path) -> None:
    done = run(SERVERS[server], tmp_path, env)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_file_of_a_demo_does_not_start_in_production(tmp_path: Path) -> None:
    assert run(SERVERS["web"], tmp_path, {"FLASHSALE_DEMO": "1"}, with_secrets=False).returncode == 0
    assert "FLASHSALE_DEMO=1" in (tmp_path / "secrets.env").read_text()
    done = run(SERVERS["web"], tmp_path, SITE | SHOP)
    assert done.returncode == 1
    assert "FLASHSALE_DEMO is on" in done.stderr
    assert "in secrets.env of the data folder" in done.stderr


def test_doctor_and_the_start_say_the_same(tmp_path: Path) -> None:
    done = run([sys.executable, "manage.py", "doctor"], tmp_path, SITE | {"FLASHSALE_DEBUG": "1"})
    assert done.returncode == 1
    words = " ".join(done.stdout.replace("│", " ").split())
    assert "problem" in words
    row = next(line for line in done.stdout.splitlines() if "│ mode" in line)
    assert row.split("│")[1].strip() == "problem"
    assert "FLASHSALE_DEBUG is on." in words
    assert "FLASHSALE_PAYMENT_PROVIDER is" in words


def test_doctor_finds_a_provider_that_cannot_be_loaded(tmp_path: Path) -> None:
    for path, found in (
        ("no_such_module.Provider", "No module named 'no_such_module'"),
        ("shop_payments.Nothing", '"shop_payments" does not define a "Nothing"'),
        ("flashsale.rules.outcomes.Refused", "cannot be made"),
        (
            "config.secrets.Path",
            "lacks methods, begin, look, close, refund, look_refund, believe, check, account, pace, headers, ",
        ),
        ("Provider", "doesn't look like a module path"),
    ):
        done = run(SERVERS["web"], tmp_path, SITE | {"FLASHSALE_PAYMENT_PROVIDER": path})
        assert done.returncode == 1, path
        assert f"FLASHSALE_PAYMENT_PROVIDER={path}" in done.stderr
        assert found in done.stderr


@pytest.mark.parametrize(
    ("hosts", "origins", "proxies", "hsts_s", "signs"),
    [
        (["localhost", "127.0.0.1", "[::1]", "127.9.9.9", "shop.localhost"], ["http://127.0.0.1:8000"], [], 0, 0),
        (["0.0.0.0"], ["http://[::1]:8000", "http://localhost:1"], ["127.0.0.1/32", "::1/128"], 0, 0),
        (["sale.example.com"], [], [], 0, 1),
        (["192.168.1.4"], [], [], 0, 1),
        (["*"], [], [], 0, 1),
        ([".example.com"], [], [], 0, 1),
        (["localhost.example.com"], [], [], 0, 1),
        ([], ["https://sale.example.com", "http://10.0.0.1"], [], 0, 2),
        ([], [], ["10.0.0.0/8"], 0, 1),
        ([], [], ["127.0.0.1/1"], 0, 1),
        ([], [], [], 3600, 1),
    ],
)
def test_production_is_what_other_machines_can_reach(
    hosts: list[str], origins: list[str], proxies: list[str], hsts_s: int, signs: int
) -> None:
    found = signs_of_production(hosts=hosts, origins=origins, proxies=proxies, hsts_s=hsts_s)
    assert len(found) == signs, found


def test_mails_that_are_not_sent_and_webhooks_to_this_machine_are_refused_in_production() -> None:
    common: Any = {"demo": False, "debug": False, "payment_provider": "shop.Provider"}
    smtp, file = "django.core.mail.backends.smtp.EmailBackend", "django.core.mail.backends.filebased.EmailBackend"
    signs = ["FLASHSALE_HOSTS names sale.example.com"]
    assert list(refusals(**common, mail_backend=smtp, signs=signs)) == []
    assert list(refusals(**common, mail_backend=file, signs=[])) == []
    (mails,) = refusals(**common, mail_backend=file, signs=signs)
    assert mails.startswith("EMAIL_URL sends no mails")
    (local,) = refusals(**common, mail_backend=smtp, signs=signs, webhook_local=True)
    assert local.startswith("FLASHSALE_WEBHOOK_LOCAL is on")
    assert list(refusals(**common, mail_backend=smtp, signs=[], webhook_local=True)) == []
