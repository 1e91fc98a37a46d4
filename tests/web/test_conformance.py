"""The checklist of the sandbox: the stand-alone program walks through a real server, and passes every check."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flashsale.life import sandbox, sweep_payments
from flashsale.models import Channel, PartnerKey, Sale
from flashsale.rules.conformance import CHECKS, LOOKS_MAX
from tests.browser.site import Site, serving
from tests.factories import lobby_sale
from tests.web.sandbox_partner import SandboxPartner, magic, ordinary, sandbox_key

PROGRAM = Path(__file__).resolve().parents[2] / "docs/conformance.py"


@pytest.mark.slow
def test_the_program_walks_through_a_real_server_and_passes_every_check(
    transactional_db: None, gate: object, tmp_path: Path
) -> None:
    sale = lobby_sale()
    key = PartnerKey.make(sandbox.sandbox_channel(Channel.objects.get(campaign=sale.campaign, code="lazada")))[1]
    with serving(tmp_path) as site:
        began = time.monotonic()
        code, out = _program(site, key)
        assert code == 1
        assert out.count("MISSING") == len(CHECKS)
        assert out.endswith(f"0 of {len(CHECKS)} passed, by 0 calls.\n")
        code, out = _program(site, key, "--walk")
        assert "MISSING" not in out, out
        assert f"{len(CHECKS)} of {len(CHECKS)} passed" in out, out
        assert code == 0
        assert time.monotonic() - began < 300
        code, out = _program(site, "fs_test_" + "x" * 40)
        assert (code, "401 unauthenticated" in out) == (1, True)
        code, out = _program(site, key, "--since", "sandbox." + "0" * 20)
        assert (code, "404 not_found: since_sale" in out) == (1, True)


def _program(site: Site, key: str, *options: str) -> tuple[int, str]:
    """Exit status and output of the program. Meanwhile this process does what the Celery worker does with refunds."""
    command = [sys.executable, "-I", str(PROGRAM), site.url, "--key", key, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        while program.poll() is None:
            sweep_payments.work_off_all()
            time.sleep(0.2)
        return program.returncode, program.stdout.read()


def test_an_integration_that_does_too_little_or_too_much_reads_what_is_missing(sale: Sale) -> None:
    tester = SandboxPartner(sandbox_key(sale)).make()
    assert {name for name, passed in tester.checks().items() if passed} == {"sale", "well-formed", "keys-kept-apart"}
    unknown, sold_out = tester.called(magic("reserve-unknown"), magic("reserve-sold-out"))
    # A new key after a lost answer, and a finger that stays on the button.
    assert tester.reserve(unknown, key="first").code == (503, "unknown")
    assert tester.reserve(unknown, key="second").code == (409, "place_spent")
    for key in ("a", "b", "c"):
        tester.reserve(sold_out, key=key)
    for _ in range(LOOKS_MAX + 1):
        tester.partner.post("look", {"place": sold_out})
    tester.partner.post("reserve", {"place": sold_out, "item": []})
    checks = tester.checks()
    assert checks["entered-early"] is True
    assert [name for name in ("reserve-repeated", "stops-at-sold-out", "looks-little") if checks[name]] == []
    assert tester.reserve(unknown, key="first").status == 201
    assert tester.checks()["reserve-repeated"] is True
    # A later run is judged alone.
    second = SandboxPartner(tester.key).make()
    since = second.checks(since_sale=second.sale.code)
    assert {name for name, passed in since.items() if passed} == {"sale", "well-formed", "keys-kept-apart"}


def test_the_checklist_of_one_channel_does_not_see_the_calls_of_another(sale: Sale) -> None:
    tester, other = SandboxPartner(sandbox_key(sale)).make(), SandboxPartner(sandbox_key(sale, "akulaku"))
    tester.called(ordinary())
    assert {name for name, passed in other.checks().items() if passed} == set()
    reply = other.client.get("/v1/test/conformance", {"since_sale": tester.sale.code})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
