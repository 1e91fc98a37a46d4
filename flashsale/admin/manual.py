"""The manual for admins, as a page of the admin: docs/admin.md, or docs/id/admin.md for readers of Indonesian."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt

DOCS = Path(__file__).resolve().parents[2] / "docs"
FILES = {"en": DOCS / "admin.md", "id": DOCS / "id" / "admin.md"}
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
# Links to other documents, which this site does not serve. The text stays, with the name of the file.
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?!https://|#)([^)#]*)[^)]*\)")


@lru_cache(maxsize=len(FILES))
def manual(language: str) -> str:
    """The manual as HTML. HTML in the text is shown and has no effect. Raises OSError when the file is not there."""
    text = PICTURE.sub("", FILES[language].read_text(encoding="utf-8"))
    text = ELSEWHERE.sub(lambda found: f"{found[1]} (`docs/{found[2].rpartition('../')[2]}`)", text)
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    # The page has a heading of its own. A table can be wider than a phone.
    html = re.sub(r"<h1>.*?</h1>\n?", "", html, count=1)
    html = re.sub(r"<h2>(.*?)</h2>", lambda found: f'<h2 id="{_anchor(found[1])}">{found[1]}</h2>', html)
    html = html.replace(' style="text-align:right"', ' class="number"')  # the policy allows no inline style
    html = html.replace("<table>", '<div class="wide" tabindex="0"><table class="facts">')
    return html.replace("</table>", "</table></div>")


def _anchor(heading: str) -> str:
    """The id to which links inside of the manual lead, as code hosts make it of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def manual_page(request: HttpRequest) -> HttpResponse:
    """The page in the reader's language. Raises Http404 on an installation without the documents."""
    language = get_language() or "id"
    try:
        html = manual(language if language in FILES else "en")
    except OSError as error:
        raise Http404("The manual is not installed.") from error
    # `manual` escapes all HTML of the text, and the text is our own file.
    context: dict[str, Any] = {
        **admin.site.each_context(request), "title": _("Manual for admins"), "manual": mark_safe(html),  # noqa: S308
    }  # fmt: skip
    return TemplateResponse(request, "admin/flashsale/manual.html", context)
