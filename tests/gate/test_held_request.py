"""What the gate holds for a request is written by Python and by Lua, and both read it alike."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, scripts
from flashsale.gate.client import LUA
from flashsale.gate.held_request import HeldRequest, HeldUnit, ReserveRequest
from flashsale.rules.states import AllocationMode
from tests.gate.floor import FIRST, KEYS, SECOND, SEED, changed, request, reserve, stand

FIELDS = {field.name for field in fields(ReserveRequest)}
READERS = {
    "give_back": {"number", "quantity", "digests"},
    "reserve": {"fingerprint"},
    "retake": {"id", "key", "quantity", "digests"},
}


def script(name: str) -> str:
    return (Path(str(LUA)) / f"{name}.lua").read_text()


def test_what_is_encoded_is_decoded_to_the_same() -> None:
    held = HeldRequest(request(4, items=((0, 2), (1, 1))), (HeldUnit(1, 5, 0), HeldUnit(9, 7, 1)), 10, 20)
    assert HeldRequest.from_json(held.to_json()) == held


def test_a_script_writes_byte_for_byte_what_python_writes(gate: redis.Redis) -> None:
    stand()
    held = reserve(request(4))
    assert gate.hget(KEYS.held_requests, "k4") == held.to_json()
    assert HeldRequest.from_json(held.to_json()) == held


def test_a_direct_line_writes_the_index_that_it_gives_into_the_request(gate: redis.Redis) -> None:
    card = changed(lines=(replace(FIRST, mode=AllocationMode.DIRECT), SECOND))
    stand(card)
    gate.hset(KEYS.line(1), mapping={"entered": 6, "block": 8})
    wish = request(0, limit_slots=())
    held: Any = bridge.run(scripts.reserve(card, card.lines[0], seed=SEED, request=wish))
    stored: Any = gate.hget(KEYS.held_requests, "k0")
    assert held.request == replace(wish, index=7, number=7)
    assert HeldRequest.from_json(stored) == held


@pytest.mark.parametrize("name", READERS)
def test_a_script_reads_the_fields_that_its_head_names_and_no_others(name: str) -> None:
    head, body = script(name).split("\nlocal ", 1) if name != "give_back" else script(name).split("\nif not", 1)
    named = set(re.findall(r"request\.(\w+)", head.rpartition("this script reads")[2].partition(".  ")[0]))
    stored = r"\)\.request\.(\w+)" if name == "reserve" else r"\brequest\.(\w+)"
    read = set(re.findall(stored, body))
    assert read == READERS[name]
    assert READERS[name] <= named <= FIELDS
    assert named - READERS[name] <= {"index", "number"}


def test_a_direct_line_sets_fields_that_the_request_has() -> None:
    body = script("reserve").split("local function number_directly", 1)[1].split("\nend", 1)[0]
    assert set(re.findall(r"whole\.(\w+)", body)) == {"index", "number"} <= FIELDS


def test_only_these_scripts_decode_a_stored_request() -> None:
    decoding = {path.stem for path in Path(str(LUA)).glob("*.lua") if "cjson.decode(" in path.read_text()}
    assert decoding == set(READERS)
