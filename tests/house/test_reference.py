"""The committed reference of the API says what the code does, and no linter of OpenAPI finds anything in it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flashsale.web import problems
from flashsale.web.advice import ADVICE, Advice
from tests.house import reference


@pytest.mark.parametrize("name", ["openapi.json", "refusals.md", "collection.json"])
def test_the_committed_files_are_what_make_reference_writes(name: str) -> None:
    file, wanted = reference.DOCS / name, reference.files()[name]
    if "FLASHSALE_WRITE_REFERENCE" in os.environ:
        file.write_text(wanted, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == wanted, "run: make reference"


def test_every_refusal_has_an_advice_and_every_advice_a_refusal() -> None:
    assert set(ADVICE) == set(problems.REFUSALS)
    assert set(ADVICE.values()) == set(Advice)


def test_only_refusals_that_may_be_sent_again_at_once_have_a_status_that_says_so() -> None:
    again = {code for code, kind in ADVICE.items() if kind in {Advice.WAIT, Advice.ASK_AGAIN}}
    assert {code for code in problems.REFUSALS if problems.status_of(code) in {408, 429, 500, 503}} == again


# Members of answers that are there in some answers only. Of all others, a client may rely on them.
MAY_BE_MISSING = {
    "Problem": {"retry_after_s", "errors", "reservation"},
    "Reservation": {"now"},
    "EnteredItem": {"answer", "problem"},
    "LookedItem": {"answer", "problem"},
    # Version 2 of the draw.
    "Status": {"draw"},
    "Receipt": {"cohort", "root", "state", "leaf", "proof"},
    "Transcript": {"frozen_at"},
    "DrawnLine": {"root", "states"},
    # Reports of an earlier release.
    "RuleRecord": {"decided"},
}


def objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for nested in part:
            yield from objects(nested)


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


class TestTheDocument:
    """The rules of Redocly and Spectral that this document has broken before. They need no Node here."""

    @pytest.fixture
    def document(self) -> dict[str, Any]:
        return json.loads((reference.DOCS / "openapi.json").read_text(encoding="utf-8"))

    def test_says_of_each_operation_what_it_does_and_what_it_refuses(self, document: dict[str, Any]) -> None:
        for operation in operations(document):
            assert operation["summary"]
            assert operation["description"]
            assert {"4XX", "429", "503", "default"} <= set(operation["responses"])
            assert operation["security"]

    def test_has_a_server_a_licence_and_a_contact(self, document: dict[str, Any]) -> None:
        assert document["servers"]
        assert document["info"]["license"]["identifier"]
        assert document["info"]["contact"]["name"]

    def test_describes_the_tags_that_its_operations_use_and_no_others(self, document: dict[str, Any]) -> None:
        named = {tag["name"] for tag in document["tags"] if tag["description"]}
        assert {tag for operation in operations(document) for tag in operation["tags"]} == named

    def test_describes_every_parameter(self, document: dict[str, Any]) -> None:
        without = [
            (operation["operationId"], parameter["name"])
            for operation in operations(document)
            for parameter in operation.get("parameters", ())
            if not parameter["description"]
        ]
        assert without == []

    def test_says_how_large_whole_numbers_may_be(self, document: dict[str, Any]) -> None:
        for part in objects(document):
            if part.get("type") == "integer" and "const" not in part:
                assert part["format"] in {"int32", "int64"}, part

    def test_admits_new_values_in_answers_and_none_in_requests(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        enums = {name for name, schema in schemas.items() if "enum" in schema}
        for name, schema in schemas.items():
            for member in schema.get("properties", {}).values():
                known = member.get("$ref", "").rpartition("/")[2]
                assert known not in enums or schema.get("additionalProperties") is False, (name, member)
                assert "enum" not in member or schema.get("additionalProperties") is False, (name, member)

    def test_says_which_members_of_an_answer_may_be_missing(self, document: dict[str, Any]) -> None:
        missing = {
            name: set(schema["properties"]) - set(schema["required"])
            for name, schema in document["components"]["schemas"].items()
            if "properties" in schema and schema.get("additionalProperties") is not False
        }
        assert {name: members for name, members in missing.items() if members} == MAY_BE_MISSING

    def test_lists_every_code_of_a_refusal(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        known, other = schemas["Problem"]["properties"]["code"]["anyOf"]
        assert known == {"$ref": "#/components/schemas/ProblemCode"}
        assert schemas["ProblemCode"]["enum"] == [code.value for code in problems.REFUSALS]
        assert other == {"type": "string"}  # new codes may come

    def test_describes_the_headers_that_a_caller_acts_on(self, document: dict[str, Any]) -> None:
        reserve = document["paths"]["/v1/sales/{sale}/lines/{line}/reserve"]["post"]["responses"]
        assert "Idempotency-Replayed" in reserve["201"]["headers"]
        responses = document["components"]["responses"]
        assert "Retry-After" in responses["RateLimited"]["headers"]
        assert "Retry-After" in responses["Unavailable"]["headers"]
        assert "ETag" in document["paths"]["/v1/sales/{sale}/lines/{line}/status"]["get"]["responses"]["200"]["headers"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("redocly") is None, reason="no Redocly on PATH")
def test_redocly_finds_nothing() -> None:
    found = subprocess.run(
        ["redocly", "lint", str(reference.DOCS / "openapi.json"), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("spectral") is None, reason="no Spectral on PATH")
def test_spectral_finds_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text('extends: ["spectral:oas"]\n')
    command = ["spectral", "lint", "--fail-severity=hint", "-r", str(rules), str(reference.DOCS / "openapi.json")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
