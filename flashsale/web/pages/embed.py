"""The line on another site: the script of `<flashsale-line>`, and a page for frames that shows the same.

Both read the public status only. They set no cookie and read none, and have no form, so another site can neither learn
nor do anything with them that a stranger could not.
"""

import json
from functools import cache
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import get_template
from django.utils.translation import get_language, gettext, override
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.rules.origins import origins_in
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.pages import channel_pages, texts
from flashsale.web.pages.sale_page import busy_page

SCRIPT_FRESH_S = 300
LANGUAGES = ("id", "en")
TICKET_DIGITS_MAX = 8


@gzip_page
@cache_control(public=True, max_age=SCRIPT_FRESH_S)
@require_safe
def snippet(_request: HttpRequest) -> HttpResponse:
    """The script of the custom element, the same for every site: one file with the texts of both languages."""
    return HttpResponse(script(), "text/javascript; charset=utf-8")


@cache
def script() -> str:
    """The script with its texts, without comments and indentation."""
    found = {}
    for language in LANGUAGES:
        with override(language):
            found[language] = texts.snippet()
    source = get_template("flashsale/snippet.js").template.source  # type: ignore[attr-defined] # of Django's engine
    lines = [line.strip() for line in source.splitlines()]
    code = "\n".join(line for line in lines if line and not line.startswith(("//", "/*")))
    # As JSON in a script: "</" cannot end a script element, and U+2028 is no line end in ES2019 only.
    return code.replace('"TEXTS"', json.dumps(found, ensure_ascii=False, separators=(",", ":")))


@gzip_page
@never_cache
@require_safe
def embed(request: HttpRequest, code: str) -> HttpResponse:
    """The line in a frame. Pages of the sites that the line's channels name may show it, no other site may."""
    try:
        card = bridge.run(places.sale_card(code=code))
        line = places.line(card=card, code=request.GET["line"]) if "line" in request.GET else card.lines[0]
    except Refused as refused:
        if refused.outcome is Outcome.NOT_FOUND:
            raise Http404 from refused
        return busy_page(request)
    except GateDown:
        return busy_page(request)
    asked = request.GET.get("lang")
    with override(asked if asked in LANGUAGES else get_language()):
        response = render(request, "flashsale/embed.html", _context(request, card, line))
    origins = _frame_origins(card, line)
    if origins:
        # Both headers: X-Frame-Options cannot name a site, so it is left out where the policy names one.
        setattr(response, "_csp_replace", {"frame-ancestors": origins})  # noqa: B010 - of django-csp
        response.xframe_options_exempt = True
    return response


def _context(request: HttpRequest, card: SaleCard, line: LineCard) -> dict[str, Any]:
    ticket = request.GET.get("ticket", "")
    known = ticket.isascii() and ticket.isdigit() and 0 < len(ticket) <= TICKET_DIGITS_MAX
    enters_here = any(channel.proves_by_code and channel.code in line.channels for channel in card.channels)
    return {
        "language": get_language(), "name": card.name, "sale": card.code, "line": line.code,
        "ticket": ticket if known else "", "enters_here": enters_here,
        "title": gettext("%(sale)s: the line") % {"sale": card.name},
    }  # fmt: skip


def _frame_origins(card: SaleCard, line: LineCard) -> list[str]:
    """The sites that the channels of this line name."""
    pages = channel_pages.of(card)
    return sorted({one for code in line.channels if code in pages for one in origins_in(pages[code].frame_origins)})
