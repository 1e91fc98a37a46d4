"""`make messages`: brings django.po up to date with the texts in Python files and templates.

It uses Babel, which the project needs anyway. Django's `makemessages` needs GNU gettext on the machine. A new text gets
an empty translation. A text that is gone stays at the end of the file, marked with `#~`: if only its English changed,
copy its translation from there, then delete it. If it comes back, it gets its translation back. A second run changes
nothing.
"""

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract, extract_from_dir
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
APPS = (ROOT / "flashsale", ROOT / "simulation")
PO = ROOT / "flashsale" / "locale" / "id" / "LC_MESSAGES" / "django.po"
KEYWORDS = {
    "_": None, "gettext": None, "gettext_lazy": None, "gettext_noop": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2),
}  # fmt: skip

MessageId = str | tuple[str, ...]


def texts() -> set[MessageId]:
    """Every text for people: a string, or a tuple of singular and plural."""
    return {*_python_texts(), *_template_texts()}


def _python_texts() -> Iterator[MessageId]:
    for app in APPS:
        for _file, _line, message, _comments, _context in extract_from_dir(
            app, [("**.py", "python")], keywords=KEYWORDS
        ):
            yield message


def _template_texts() -> Iterator[MessageId]:
    """Babel reads no Django templates, but Django's `templatize` turns their tags into calls of gettext."""
    for app in APPS:
        for suffix in ("html", "txt"):
            for file in (app / "templates").rglob(f"*.{suffix}"):
                calls = templatize(file.read_text(encoding="utf-8"), origin=file.name)
                # Python's tokenizer must not see indentation, because the rest of a template is not indented as Python.
                lines = "\n".join(line.strip() for line in calls.splitlines())
                found = extract("python", io.BytesIO(lines.encode()), keywords=KEYWORDS)
                for _line, message, _comments, _context in found:
                    yield message


def read(po: str) -> Catalog:
    """The catalogue in a .po file's text. Raises PoFileError for a file that is not correct."""
    return read_po(io.StringIO(po), locale="id", abort_invalid=True)


def updated(po: str, wanted: set[MessageId]) -> str:
    """The text of a .po file with exactly these texts, sorted. It keeps the header and every translation."""
    header, _, _ = po.partition("\n\n")
    template = Catalog()
    for message in wanted:
        template.add(message)
    catalog = read(po)
    for old in [old for old in catalog.obsolete.values() if old.id in wanted]:
        catalog[old.id] = old
        del catalog.obsolete[old.id if isinstance(old.id, str) else old.id[0]]
    catalog.update(template, no_fuzzy_matching=True)
    body = io.BytesIO()
    write_po(body, catalog, width=0, no_location=True, omit_header=True, sort_output=True)
    return f"{header}\n\n{body.getvalue().decode().strip()}\n"


if __name__ == "__main__":
    PO.write_text(updated(PO.read_text(encoding="utf-8"), texts()), encoding="utf-8")
