"""The OpenAPI document of everything that machines may call, a page to read it on, and what each refusal means."""

import json
from functools import cache
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import override
from django.views import View
from drf_spectacular.generators import SchemaGenerator

from flashsale.web import problems
from flashsale.web.api.hot_serializers import COMPONENTS, PATHS


def add_hot_door(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """drf-spectacular's last step: the hot door's operations, and problem documents as every other answer."""
    result["paths"].update(PATHS)
    for kind, named in COMPONENTS.items():
        result["components"].setdefault(kind, {}).update(named)
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


@cache
def openapi() -> bytes:
    """The document as JSON; it does not change while a process lives."""
    with override("en"):
        return json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str).encode()


class OpenApi(View):
    """The document."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        """The same for everybody."""
        return HttpResponse(openapi(), "application/json", headers={"Cache-Control": "public, max-age=300"})


# The reader sets style attributes and draws its signs from data: addresses; it shows nothing that shoppers typed.
reader = csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]})


def problem_page(request: HttpRequest, code: str) -> JsonResponse:
    """What the `type` of a problem document leads to."""
    word = next((word for word in problems.REFUSALS if word.value == code), None)
    if word is None:
        raise Http404
    status, _ = problems.TABLE[word]
    titles = {language: problems.title(word, language) for language in ("id", "en")}
    return JsonResponse({"type": request.path, "code": code, "status": status, "title": titles})
