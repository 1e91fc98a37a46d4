"""Files of the REST API: settlements, and answers as CSV to requests whose `Accept` header says text/csv."""

from collections.abc import Iterator
from typing import cast

from django.http import StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from flashsale.life.download import download
from flashsale.web import limits
from flashsale.web.hot.partners import Partner

CSV = "text/csv"


class CsvRenderer(JSONRenderer):
    """Lets a view accept text/csv. A view streams its file itself, so this writes only problem documents."""

    media_type = CSV
    format = "csv"


CSV_RENDERERS = [JSONRenderer, CsvRenderer]


def wants_csv(request: Request) -> bool:
    """Whether the caller prefers CSV to JSON."""
    return isinstance(request.accepted_renderer, CsvRenderer)


def file_answer(request: Request, name: str, text: Iterator[str]) -> StreamingHttpResponse:
    """The answer that streams a text as the file `name`. Refuses TOO_MANY_REQUESTS for too many files of a channel."""
    partner = cast("Partner", request.auth)
    limits.enforce(request, limits.FILES, f"channel:{partner.channel}")
    return download(request._request, name, text)  # noqa: SLF001 - the framework's way to Django's request
