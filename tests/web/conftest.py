"""A sale with two partners and our own page, and their keys."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django_ratelimit import core
from pytest_django import Settings

from flashsale.gate import quotas
from flashsale.models import (
    Allocation,
    LimitSlot,
    Reservation,
    ReservationUnit,
    Sale,
    Unit,
)
from flashsale.web import limits
from flashsale.web.hot import partners
from simulation.gateways.messages import MessageGateways
from tests.factories import lobby_sale, open_now, poco_campaign
from tests.web.asker import SITE, Asker, receive
from tests.web.partner import Partner, key_of

_BOOKS = (Sale, Allocation, Unit, Reservation, ReservationUnit, LimitSlot)


@pytest.fixture(autouse=True)
def _empty_key_cache() -> Iterator[None]:
    partners.forget_keys()
    quotas._windows.clear()
    yield
    partners.forget_keys()


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clock of the rate limits, so that no period ends during a test."""
    monkeypatch.setattr(core, "time", SimpleNamespace(time=lambda: 1_900_000_000))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One contact may ask for codes without a pause, so that other bounds show."""
    monkeypatch.setattr(limits, "CODES_PAUSE", limits.Limit("codes pause", 1000, 30))


@pytest.fixture
def gateways(settings: Settings, gate: redis.Redis) -> Iterator[MessageGateways]:
    """The simulated gateways for codes, and settings that use them: WhatsApp, then Twilio."""
    with MessageGateways(report=receive) as found:
        keys = found.keys
        settings.FLASHSALE_CODE_SENDER = ["whatsapp", "sms"]
        settings.FLASHSALE_URL = SITE
        settings.FLASHSALE_WHATSAPP_URL = f"{found.url}/v24.0/{keys.phone_number_id}/messages"
        settings.FLASHSALE_WHATSAPP_TOKEN, settings.FLASHSALE_WHATSAPP_TEMPLATE = keys.bearer, keys.template
        settings.FLASHSALE_WHATSAPP_SECRET, settings.FLASHSALE_WHATSAPP_VERIFY_TOKEN = keys.app_secret, "made-up-verify"
        settings.FLASHSALE_WHATSAPP_PACE = 1000
        settings.FLASHSALE_SMS_URL = f"{found.url}/2010-04-01/Accounts/{keys.account}/Messages.json"
        settings.FLASHSALE_SMS_FORM = "To={to}&From=SHOP&Body={text}&StatusCallback={report}"
        settings.FLASHSALE_SMS_USER, settings.FLASHSALE_SMS_PASSWORD = keys.account, keys.auth_token
        settings.FLASHSALE_SMS_ID, settings.FLASHSALE_SMS_REPORTS = "sid", "twilio"
        yield found


@pytest.fixture
def asker(gateways: MessageGateways, gate: redis.Redis, stopped_clock: None, transactional_db: None) -> Asker:
    """A person who asks for codes of a sale in its lobby."""
    ani = Asker(lobby_sale(channels=("mi.com",), opens_in_s=600), "ani", gateways, gate)
    ani.contacts["phone"] = "0812 3456 0000"
    return ani


@pytest.fixture
def sale(transactional_db: None, gate: redis.Redis) -> Sale:
    """A sale in its lobby, with ten phones each for Lazada, Akulaku and our page."""
    return lobby_sale(poco_campaign(), channels=("lazada", "akulaku", "mi.com"))


@pytest.fixture
def lazada(sale: Sale) -> Partner:
    return Partner(key_of(sale.campaign, "lazada"), sale, "lazada")


@pytest.fixture
def akulaku(sale: Sale) -> Partner:
    return Partner(key_of(sale.campaign, "akulaku"), sale, "akulaku")


@pytest.fixture
def held(sale: Sale, lazada: Partner) -> dict[str, Any]:
    """A reservation of ani through Lazada."""
    place = lazada.enter("ani")
    open_now(sale)
    open_now(sale)
    return lazada.reserve(place).json


@pytest.fixture
def snapshot(gate: redis.Redis) -> Callable[[], Any]:
    """A function that reads all of Redis and PostgreSQL, to compare before and after."""

    def look() -> Any:
        books = [list(model.objects.order_by("pk").values()) for model in _BOOKS]
        keys = [key for key in gate.scan_iter() if b":tick:" not in key and b":pace:" not in key]
        # Each look at a line raises the mark of its sale.
        states = {key: gate.hgetall(key) | {b"mark": b""} for key in keys if b":sale:" in key}
        return states | {key: gate.dump(key) for key in keys if key not in states}, books

    return look
