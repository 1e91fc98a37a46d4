"""Everything that people read exists in Indonesian, and nothing is translated that nobody reads."""

import ast
import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

import flashsale
import simulation

ROOT = Path(flashsale.__file__).parent
ROOTS = (ROOT, Path(simulation.__file__).parent)
PO = ROOT / "locale" / "id" / "LC_MESSAGES" / "django.po"
# What Django's own tool makes of a template: calls of gettext between masks.
CALL = re.compile(r"\bn?p?gettext\(u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
HOLE = re.compile(r"%(?:\(\w+\))?[sd]|\{\w+\}")


def _in_python() -> set[str]:
    keywords = {"_": None, "gettext": None, "gettext_lazy": None, "gettext_noop": None, "ngettext": (1, 2)}
    found = (row for root in ROOTS for row in extract_from_dir(root, [("**.py", "python")], keywords=keywords))
    texts = (message for _file, _line, message, _comments, _context in found)
    return {text if isinstance(text, str) else text[0] for text in texts}


def _in_templates() -> set[str]:
    files = [file for root in ROOTS for end in ("html", "txt") for file in (root / "templates").rglob(f"*.{end}")]
    texts = (templatize(file.read_text(encoding="utf-8"), origin=file.name) for file in files)
    return {ast.literal_eval(literal) for text in texts for literal in CALL.findall(text)}


def _catalogue() -> Catalog:
    with PO.open(encoding="utf-8") as file:
        return read_po(file, locale="id", abort_invalid=True)


def _pairs() -> dict[str, str]:
    """Indonesian by English; Indonesian has one form for one and many."""
    found = {}
    for message in _catalogue():
        text, told = message.id, message.string
        found[text if isinstance(text, str) else text[0]] = told if isinstance(told, str) else told[0]
    found.pop("")
    return found


WANTED = _in_python() | _in_templates()
TOLD = _pairs()


def test_every_text_has_its_indonesian() -> None:
    assert sorted(text for text in WANTED if not TOLD.get(text)) == []


def test_no_indonesian_lacks_its_text() -> None:
    assert sorted(TOLD.keys() - WANTED) == []


def test_nothing_is_translated_by_guess() -> None:
    assert [str(message.id) for message in _catalogue() if message.id and message.fuzzy] == []


def test_holes_in_a_text_stay_the_same() -> None:
    assert [text for text, told in TOLD.items() if sorted(HOLE.findall(text)) != sorted(HOLE.findall(told))] == []
