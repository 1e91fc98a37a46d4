"""What `lobby_sale` writes itself, in a fifth of the statements, is what planning and publishing would write."""

import re
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.apps import apps
from django.core.management import call_command

from flashsale.gate.keys import LOADED_BY
from flashsale.life.schedule import publish
from tests.factories import BIG_PHONE, PHONE, card_of, draft_sale, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.books]
# Ids, times and random numbers, and what is computed from them.
OWN = {
    "id", "at", "code", "opens_at", "closes_at", "lobby_at", "published_at", "frozen_at", "salt", "sealed_secret",
    "commitment", "hash", "previous", "made_at", "position", "subject",
}  # fmt: skip


def rows() -> dict[str, list[dict[str, Any]]]:
    found = {}
    for model in apps.get_app_config("flashsale").get_models(include_auto_created=True):
        names = [field.name for field in model._meta.concrete_fields if field.name not in OWN and not field.is_relation]
        if names and (values := list(model._base_manager.order_by("pk").values(*names))):
            found[model.__name__] = [{name: plain(value) for name, value in row.items()} for row in values]
    return found


def plain(value: Any) -> Any:
    """Text without its numbers of sales and campaigns, its hashes and its times."""
    if not isinstance(value, str | dict):
        return value
    text = re.sub(r"(sale|poco)-\d+", r"\1-N", str(value))
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+00:00)?|[0-9a-f]{64}", "*", text)


def keys(gate: Any) -> dict[str, tuple[str, int]]:
    """The type and the number of entries of each key, without the ids of the campaign and of the sale."""
    count = {"hash": "hlen", "zset": "zcard", "string": "exists"}
    found = {}
    for key in gate.scan_iter():
        parts = key.decode().split(":")
        if len(parts) > 2:
            parts[1], parts[3] = "campaign", "sale"
        kind = gate.type(key).decode()
        found[":".join(parts)] = (kind, getattr(gate, count[kind])(key))
    return found


@pytest.mark.parametrize("channels", [("lazada",), ("lazada", "mi.com")])
def test_a_lobby_sale_has_the_rows_and_keys_of_a_published_sale(gate: redis.Redis, channels: tuple[str, ...]) -> None:
    fields: Any = {"stock": {PHONE: 3, BIG_PHONE: 2}, "channels": channels, "max_entries": 500, "claim_s": 60}
    quick = lobby_sale(**fields)
    written, kept, card = rows(), keys(gate), card_of(quick)
    assert written["Unit"]
    call_command("flush", verbosity=0, interactive=False)
    for key in list(gate.scan_iter()):
        if key.decode() != LOADED_BY:  # of the fixture
            gate.delete(key)
    real = publish(sale=draft_sale(**fields))
    assert (written, kept) == (rows(), keys(gate))
    names = ("campaign", "campaign_code", "sale", "code", "salt", "commitment", "lobby_at", "opens_at", "closes_at")
    own: Any = {name: getattr(card, name) for name in (*names, "lines", "channels")}
    assert replace(card_of(real), **own) == card
    assert [replace(x, id=0) for x in card.lines] == [replace(x, id=0) for x in card_of(real).lines]
    assert quick.closes_at - quick.opens_at == real.closes_at - real.opens_at
    assert quick.opens_at - quick.lobby_at == real.opens_at - real.lobby_at
