"""The lists of CONTRIBUTING.md are complete: what one file adds, the other files know.

Each test fails with the words that are missing. The entry "How to add …" of the same name says which files to change.
"""

import json
import re
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import pytest

from config import codes
from flashsale.admin import rule_set_facts
from flashsale.life.rule_set_text import FACT_LABELS, KIND_LABELS, MARK_LABELS
from flashsale.models.state_choices import STATE_LABELS
from flashsale.providers import messages, payments
from flashsale.rules.events import EventType
from flashsale.rules.identity import AXIS_ID, Axis, BadValue, canonical_value
from flashsale.rules.outcomes import EFFECTS, RETRYABLE, Outcome
from flashsale.rules.review.fact_rules import BOUNDS, DEFAULT_FACT_RULES, FIELDS, Fact
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, Kind, Mark
from flashsale.rules.review.surprise.facts import MEASURED
from flashsale.rules.states import (
    AllocationMode,
    AppealState,
    CaseState,
    Charge,
    NoticeState,
    PaymentState,
    Phase,
    PlaceState,
    Remedy,
    ReservationState,
    SaleState,
    UnitState,
)
from flashsale.web import problems
from flashsale.web.api import hot_serializers
from flashsale.web.api.document import openapi
from flashsale.web.hot import door
from flashsale.web.pages import texts

ROOT = Path(__file__).resolve().parents[2]
LABELLED = (
    AllocationMode, AppealState, CaseState, Charge, NoticeState, PaymentState, Phase, Remedy, ReservationState,
    SaleState, UnitState,
)  # fmt: skip
DURING_A_VISIT = {PlaceState.WAITING, PlaceState.CALLED}


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _values(words: type[StrEnum]) -> set[str]:
    return {word.value for word in words}


def test_an_identity_axis_has_a_canonical_form_an_id_a_kind_in_the_review_and_a_label() -> None:
    for axis in Axis:
        # A value may be refused, but an axis without a canonical form raises KeyError.
        with suppress(BadValue):
            canonical_value(axis, "1")
    assert sorted(AXIS_ID.values()) == list(range(1, len(Axis) + 1))
    assert _values(Axis) - _values(Kind) == set()
    assert _values(Axis) - set(KIND_LABELS) == set()


def test_a_kind_and_a_mark_of_the_review_have_a_label_and_a_mark_has_points() -> None:
    assert set(KIND_LABELS) == _values(Kind)
    assert set(MARK_LABELS) == _values(Mark)
    assert set(DEFAULT_RULE_SET.marks) == set(Mark)


def test_a_fact_of_the_review_has_a_label_points_and_something_that_measures_it() -> None:
    assert set(FACT_LABELS) == _values(Fact)
    assert set(DEFAULT_FACT_RULES.most) == set(Fact)
    assert set(Fact) == MEASURED
    assert set(BOUNDS) == set(rule_set_facts.NUMBERS) == set(FIELDS) - {"generation", "most", "marks", "links"}


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome not in EFFECTS])
def test_a_refusal_has_an_http_status_and_a_text_in_both_languages(outcome: Outcome) -> None:
    english, indonesian = problems.title(outcome, "en"), problems.title(outcome, "id")
    assert english
    assert indonesian not in {"", english}
    # A caller repeats the request after 429 and 503, and after no other status.
    assert (problems.status_of(outcome) in {429, 503}) == (outcome in RETRYABLE)


@pytest.mark.parametrize("states", LABELLED, ids=lambda states: states.__name__)
def test_a_state_has_a_label(states: type[StrEnum]) -> None:
    assert _values(states) - set(STATE_LABELS) == set()


def test_a_state_that_buyers_see_has_a_text_for_them() -> None:
    assert set(texts.order_states()) == set(ReservationState)
    assert set(texts.payment_states()) == set(PaymentState)
    assert set(texts.phases()) == set(Phase) - {Phase.DRAFT}
    assert set(PlaceState) - DURING_A_VISIT - set(texts.endings(limit=1)) == set()


def test_a_state_at_the_hot_door_stands_in_the_api_document() -> None:
    assert set(hot_serializers.PHASES) == _values(Phase) - {Phase.DRAFT}
    assert set(hot_serializers.PLACE_STATES) == _values(PlaceState)
    assert set(hot_serializers.SCHEMAS["Status"]["properties"]["mode"]["enum"]) == _values(AllocationMode)


def test_a_hot_verb_stands_in_the_api_document_in_nginx_and_in_the_page_for_partners() -> None:
    verbs = {path.rpartition("/")[2] for path in hot_serializers.PATHS}
    assert verbs == set(door.METHODS)
    routed = re.findall(r"/\(([a-z|\-]+)\)\$ \{", _text("config/nginx.conf"))
    assert sorted("|".join(routed).split("|")) == sorted(door.VERBS)
    assert [verb for verb in door.METHODS if f"/{verb}`" not in _text("docs/partner.md")] == []


def test_an_endpoint_stands_in_the_page_for_partners() -> None:
    paths = {re.sub(r"\{code\}", "{sale}", path) for path in json.loads(openapi())["paths"]}
    page = _text("docs/partner.md")
    assert [path for path in sorted(paths) if "/lines/" not in path and f"{path}`" not in page] == []


def test_an_event_stands_in_the_page_for_partners() -> None:
    page = _text("docs/partner.md")
    assert [type_ for type_ in EventType if f"`{type_}`" not in page] == []


def test_a_payment_method_has_a_text() -> None:
    offered = [method for account in payments.configured.values() for method in account.methods()]
    assert [name for name, _ in texts.methods(offered, least=0, most=1, currency="IDR")] == list(payments.METHODS)


def test_the_payment_provider_has_every_call_of_the_protocol() -> None:
    calls = [name for name in vars(payments.PaymentProvider) if not name.startswith("_")]
    assert [name for name in calls if not callable(getattr(payments.provider, name, None))] == []


def test_a_message_sender_stands_in_the_operators_table() -> None:
    (row,) = (line for line in _text("docs/operate.md").splitlines() if line.startswith("| `FLASHSALE_CODE_SENDER`"))
    assert [name for name in messages.SENDERS if f"`{name}`" not in row] == []
    assert {name: sender.name for name, sender in messages.SENDERS.items()} == {name: name for name in codes.SENDERS}


def test_the_guide_names_every_list() -> None:
    headings = re.findall(r"^### (.+)$", _text("CONTRIBUTING.md"), re.MULTILINE)
    assert headings == [
        "An identity axis", "A payment provider", "A message sender", "A REST endpoint", "A hot verb", "A state",
        "An outcome", "A text for shoppers", "A setting", "An event",
    ]  # fmt: skip
