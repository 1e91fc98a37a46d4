"""One table says how every refusal looks in HTTP."""

from typing import Any

import pytest
from django.test import Client

from flashsale.rules.outcomes import EFFECTS, Outcome
from flashsale.web import problems
from flashsale.web.problems import Fault
from tests.web.partner import Partner


def test_every_refusal_is_in_the_table_and_no_effect_is() -> None:
    assert set(problems.TABLE) == (set(Outcome) - EFFECTS) | set(Fault)


def test_the_codes_of_outcomes_and_faults_differ() -> None:
    assert {outcome.value for outcome in Outcome} & {fault.value for fault in Fault} == set()


def test_every_status_says_whether_the_request_may_be_repeated() -> None:
    statuses = {word: problems.status_of(word) for word in problems.REFUSALS}
    assert {word for word, status in statuses.items() if status >= 500} == {
        Outcome.NOT_READY, Outcome.NO_ROOM, Outcome.UNKNOWN, Outcome.PAUSED, Fault.INTERNAL,
    }  # fmt: skip
    assert set(statuses.values()) == {400, 401, 402, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429, 500, 503}


def test_a_problem_has_a_title_in_two_languages() -> None:
    assert problems.title(Outcome.SOLD_OUT, "en") == "No unit is free now."
    assert problems.title(Outcome.SOLD_OUT, "id") == "Saat ini tidak ada unit yang tersedia."


def test_a_problem_document_has_the_fields_of_rfc_9457_and_ours() -> None:
    document = problems.problem(Outcome.PAUSED, language="en", request_id="r1", detail="Back at noon.", retry_after_s=2)
    assert document == {
        "type": "/problems/paused", "title": "The sale is paused. Your place is kept.", "status": 503,
        "code": "paused", "detail": "Back at noon.", "request_id": "r1", "retry_after_s": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "id"), ("id", "id"), ("in-ID", "id"), ("en", "en"), ("en-GB,en;q=0.9", "en"), ("de, en;q=0.5", "en"),
        ("en;q=0.2, id;q=0.8", "id"), ("de", "id"), ("*", "id"), (";;;", "id"), ("en," * 1000, "id"),
    ],
)  # fmt: skip
def test_the_callers_first_language_that_we_speak_is_taken(header: str, language: str) -> None:
    assert problems.language_of(header) == language


@pytest.mark.parametrize(
    ("status", "word"), [(404, Outcome.NOT_FOUND), (418, Outcome.MALFORMED), (502, Fault.INTERNAL)]
)
def test_a_frameworks_status_becomes_a_problem_code(status: int, word: problems.ProblemCode) -> None:
    assert problems.code_for_status(status) == word


@pytest.mark.parametrize("language", ["id", "en", "de"])
def test_what_a_developer_reads_is_english_in_every_language(lazada: Partner, held: Any, language: str) -> None:
    client = Client(headers=lazada.http | {"Accept-Language": language, "Idempotency-Key": "k"})
    confirm = f"/v1/reservations/{held['reservation']}/confirm"
    assert client.get("/v1/reservations?limit=0").json()["errors"] == [
        {"pointer": "#/limit", "detail": "Ensure this value is greater than or equal to 1."}
    ]
    wrong = client.post(confirm, {"method": "x"}, content_type="application/json").json()
    assert wrong["errors"][0] == {"pointer": "#/identity", "detail": "This field is required."}
    assert client.post(confirm, "x", content_type="text/plain").json()["detail"].startswith("Unsupported media type")
    assert client.put(confirm, {}).json()["detail"] == 'Method "PUT" not allowed.'
