"""Idempotency-Key of partners' writes. The same request again gets the same response; another body is refused."""

from collections.abc import Callable

from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.web.hot.partners import Partner
from flashsale.web.idempotency import Document, answer_once, fingerprint, valid_key


def run_once(
    request: Request,
    partner: Partner,
    act: Callable[[int], Document],
    *,
    settled: Callable[[Document], bool] = lambda _: True,
    one_commit: bool = False,
) -> Response:
    """Runs `act` once for the request's key; see :func:`flashsale.web.idempotency.answer_once`.

    Refuses KEY_MISSING, KEY_REUSED.
    """
    document, replayed = answer_once(
        channel=partner.channel,
        key=valid_key(request.headers.get("Idempotency-Key", "")),
        request=fingerprint([request.method, request.path, request.data]),
        act=act,
        settled=settled,
        one_commit=one_commit,
    )
    return Response(document, headers={"Idempotency-Replayed": "true"} if replayed else None)
