"""The manual for admins, as a page of the admin: docs/admin.md, or docs/id/admin.md for readers of Indonesian.

A second page has the paragraphs about alarms of docs/operate.md, to which each alarm leads.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import escape
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

from flashsale.life.alarm_list import ALARMS

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = {"en": DOCS / "admin.md", "id": DOCS / "id" / "admin.md"}
OPERATE = DOCS / "operate.md"
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
# Links to other documents, which this site does not serve. The text stays, with the name of the file.
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?!https://|#)([^)#]*)[^)]*\)")


@lru_cache(maxsize=len(FILES))
def manual(language: str) -> str:
    """The manual as HTML. HTML in the text is shown and has no effect. Raises OSError when the file is not there."""
    html = _html(FILES[language].read_text(encoding="utf-8"))
    # The page has a heading of its own.
    html = re.sub(r"<h1>.*?</h1>\n?", "", html, count=1)
    return re.sub(r"<h2>(.*?)</h2>", lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', html)


@lru_cache(maxsize=1)
def _alarm_paragraphs() -> str:
    """The paragraphs about alarms as HTML, each below the code of its alarm. Raises OSError as `manual` does."""
    chapter = OPERATE.read_text(encoding="utf-8").partition("\n## Alarms\n")[2].partition("\n## ")[0]
    return _html("### " + chapter.partition("### ")[2])


def alarm_paragraphs() -> str:
    """The same, each below the title of its alarm in the reader's language."""

    def heading(found: re.Match[str]) -> str:
        kind = ALARMS.get(found[1])
        title = f"{escape(kind.title)} <code>{found[1]}</code>" if kind else found[1]
        return f'<h2 id="alarm-{found[1]}">{title}</h2>'

    return re.sub(r"<h3>Alarm (\w+)</h3>", heading, _alarm_paragraphs())


def _html(text: str) -> str:
    text = PICTURE.sub("", text)
    text = ELSEWHERE.sub(lambda found: f"{found[1]} (`docs/{found[2].rpartition('../')[2]}`)", text)
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    # A table can be wider than a phone.
    html = html.replace(' style="text-align:right"', ' class="number"')  # the policy allows no inline style
    html = html.replace("<table>", '<div class="wide" tabindex="0"><table class="facts">')
    return html.replace("</table>", "</table></div>")


def _anchor(heading: str) -> str:
    """The id to which links inside of the manual lead, as code hosts make it of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def manual_page(request: HttpRequest) -> HttpResponse:
    """The page in the reader's language. Raises Http404 on an installation without the documents."""
    language = get_language() or "id"
    return _page(request, _("Manual for admins"), lambda: manual(language if language in FILES else "en"))


def alarms_page(request: HttpRequest) -> HttpResponse:
    """What each alarm means and what to do, in English. Raises Http404 on an installation without the documents."""
    return _page(request, _("What to do about alarms"), alarm_paragraphs)


def _page(request: HttpRequest, title: str, content: Callable[[], str]) -> HttpResponse:
    try:
        html = content()
    except OSError as error:
        raise Http404("The manual is not installed.") from error
    # `_html` escapes all HTML of the text, and the text is our own file.
    context: dict[str, Any] = {
        **admin.site.each_context(request), "title": title, "manual": mark_safe(html),  # noqa: S308
    }  # fmt: skip
    return TemplateResponse(request, "admin/flashsale/manual.html", context)
