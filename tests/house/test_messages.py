"""Every text for people exists in Indonesian, and django.po is as `make messages` leaves it."""

import ast
import re
from functools import cache

from babel.messages.catalog import Message

from tests.house import messages

PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]|\{\w+\}")
texts = cache(messages.texts)  # reads all files: not while tests are collected
PO = messages.PO.read_text(encoding="utf-8")
CATALOGUE = messages.read(PO)
TRANSLATED: list[Message] = [message for message in CATALOGUE if message.id]


def _english(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _indonesian(message: Message) -> str:
    """Indonesian has one form for singular and plural."""
    return message.string if isinstance(message.string, str) else message.string[0]


def test_every_text_has_its_indonesian() -> None:
    known = {message.id for message in TRANSLATED if _indonesian(message)}
    assert [text for text in texts() if text not in known] == []


def test_no_indonesian_lacks_its_text() -> None:
    assert {message.id for message in TRANSLATED} - texts() == set()


def test_a_text_inside_a_formatted_string_is_extracted_too() -> None:
    """The extraction does not see every call there, and such a text would stay English."""
    ask = {"_", "gettext", "ngettext", "gettext_lazy", "ngettext_lazy"}
    found = {
        first.value
        for app in messages.APPS
        for path in app.rglob("*.py")
        for formatted in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(formatted, ast.JoinedStr)
        for call in ast.walk(formatted)
        if isinstance(call, ast.Call) and (getattr(call.func, "id", "") or getattr(call.func, "attr", "")) in ask
        for first in call.args[:1]
        if isinstance(first, ast.Constant)
    }
    assert found
    known = {_english(message) for message in TRANSLATED if _indonesian(message)}
    assert found - known == set()


def test_no_translation_is_a_guess() -> None:
    assert [message.id for message in TRANSLATED if message.fuzzy] == []


def test_a_translation_has_the_placeholders_of_its_text() -> None:
    wrong = [
        _english(message)
        for message in TRANSLATED
        if sorted(PLACEHOLDER.findall(_english(message))) != sorted(PLACEHOLDER.findall(_indonesian(message)))
    ]
    assert wrong == []


def test_the_file_is_as_make_messages_leaves_it() -> None:
    assert messages.updated(PO, texts()) == PO


def test_make_messages_loses_no_translation() -> None:
    text = max((message for message in TRANSLATED if isinstance(message.id, str)), key=_english)
    without = messages.updated(PO, (texts() - {text.id}) | {"A new text"})
    assert messages.updated(without, (texts() - {text.id}) | {"A new text"}) == without
    assert not messages.read(without)["A new text"].string
    assert messages.read(without).obsolete[str(text.id)].string == text.string
    assert messages.read(messages.updated(without, texts()))[text.id].string == text.string


def test_singular_and_plural_of_a_template_are_one_text() -> None:
    second = "You can try again in %(seconds)s second."
    assert (second, second.replace("second.", "seconds.")) in texts()
