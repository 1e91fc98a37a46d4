"""The secret of a draw is sealed until the draw: a copy of the database does not tell who will be first."""

import base64
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.test import Client

from flashsale.life import audit, sale_control
from flashsale.life.tick import tick_once
from flashsale.management import doctor_checks
from flashsale.models import Allocation, Record, Sale
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.rules import lottery
from tests.factories import Shopper, begun, draft_sale, lobby_sale, move_opening, open_now, poco_campaign
from tests.privacy import canary

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

ANOTHER_KEY = b"another key of thirty-two bytes!"


def _copies(secret: bytes) -> list[bytes]:
    """The secret as it could stand in a dump: raw as `in_books` shows it, in hex, in base64."""
    return [secret.decode("latin-1").encode(), secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")]


def test_a_dump_before_the_draw_does_not_have_the_secret() -> None:
    sale = lobby_sale()
    Shopper(sale, "ani").enter()
    secret = sale.draw_secret()
    assert lottery.commitment(secret).hex() == sale.commitment
    dump = canary.in_books()
    assert sale.commitment.encode() in dump
    assert [copy for copy in _copies(secret) if copy in dump] == []
    open_now(sale)
    assert _copies(secret)[0] in canary.in_books()


def test_the_draw_publishes_the_secret_and_the_transcript_has_it(client: Client) -> None:
    sale = lobby_sale()
    secret = sale.draw_secret()
    address = f"/v1/sales/{sale.code}/transcript"
    assert client.get(address).status_code == 404
    Shopper(sale, "ani").enter()
    open_now(sale)
    row = Sale.objects.get(pk=sale.pk)
    assert (bytes(row.secret), row.sealed_secret, row.draw_secret()) == (secret, None, secret)
    assert client.get(address).json()["secret"] == secret.hex()


def test_a_server_with_another_key_draws_nothing_and_the_other_sales_go_on(
    settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    key = settings.FLASHSALE_CONTACT_KEY
    sealed = lobby_sale()
    settings.FLASHSALE_CONTACT_KEY = ANOTHER_KEY
    other = lobby_sale()
    for sale in (sealed, other):
        Shopper(sale, "ani").enter()
        move_opening(sale)
    tick_once()
    row = Sale.objects.get(pk=sealed.pk)
    assert (row.frozen_at, row.secret, row.sealed_secret) == (None, None, sealed.sealed_secret)
    assert Allocation.objects.get(sale=sealed).cohort is None
    assert Allocation.objects.get(sale=other).cohort == 1
    assert not Record.objects.filter(what="draw", sale=sealed).exists()
    assert f"{sealed.code} is not drawn: The secret of the draw cannot be decrypted." in caplog.text
    settings.FLASHSALE_CONTACT_KEY = key
    open_now(sealed)
    assert Allocation.objects.get(sale=sealed).cohort == 1


def test_the_sealed_secret_of_another_sale_is_refused() -> None:
    one, other = lobby_sale(), lobby_sale()
    Sale.objects.filter(pk=one.pk).update(sealed_secret=other.sealed_secret)
    with pytest.raises(SecretUnreadable, match="FLASHSALE_CONTACT_KEY"):
        Sale.objects.get(pk=one.pk).draw_secret()


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 60])
def test_a_damaged_secret_is_refused_in_words(sealed: bytes) -> None:
    sale = lobby_sale()
    sale.sealed_secret = sealed
    with pytest.raises(SecretUnreadable, match="cannot be decrypted"):
        sale.draw_secret()


def test_a_draft_has_no_secret() -> None:
    sale = draft_sale()
    assert (sale.secret, sale.sealed_secret) == (None, None)
    with pytest.raises(SecretUnreadable):
        sale.draw_secret()


def _in_clear(sale: Sale) -> dict[str, Any]:
    return {"secret": sale.draw_secret(), "sealed_secret": None}


def _both(sale: Sale) -> dict[str, Any]:
    return {"secret": sale.draw_secret()}


def _none(sale: Sale) -> dict[str, Any]:
    return {"sealed_secret": None}


@pytest.mark.parametrize("change", [_in_clear, _both, _none])
def test_the_table_refuses_a_secret_in_clear_before_the_draw(change: Any) -> None:
    sale = lobby_sale()
    with pytest.raises(IntegrityError, match="secret_sealed_until_the_draw"), transaction.atomic():
        Sale.objects.filter(pk=sale.pk).update(**change(sale))
    assert Sale.objects.get(pk=sale.pk).sealed_secret == sale.sealed_secret


def test_doctor_and_audit_name_the_sales_whose_secret_cannot_be_decrypted(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = lobby_sale(poco_campaign())
    begun(sale)
    check = next(check for check in doctor_checks.run_checks() if check.name == "draws")
    assert (check.ok, check.found) == (True, "1 sealed")
    settings.FLASHSALE_CONTACT_KEY = ANOTHER_KEY
    check = next(check for check in doctor_checks.run_checks() if check.name == "draws")
    assert (check.ok, check.found) == (False, f"cannot decrypt {sale.code}")
    assert check.fix == "set the FLASHSALE_CONTACT_KEY with which these sales were published, on every server"
    monkeypatch.setattr(audit, "READS", 1)
    broken = [text for finding in audit.audit(campaign=sale.campaign.code) for text in finding.broken]
    assert broken == [f"{sale.code}: the secret does not match the commitment, or this server's key cannot decrypt it"]


def test_a_sale_that_is_called_off_before_the_draw_never_publishes_its_secret() -> None:
    sale = sale_control.call_off(sale=lobby_sale(), message="The phones were stolen")
    tick_once()
    row = Sale.objects.get(pk=sale.pk)
    assert (row.state, row.secret, row.sealed_secret) == ("called_off", None, sale.sealed_secret)
