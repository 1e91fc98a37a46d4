"""The OpenAPI document of the whole API, a page that shows it, and a page for each problem code."""

import json
from functools import cache
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import override
from django.views import View
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.exceptions import APIException

from flashsale.web import problems
from flashsale.web.api.hot_serializers import COMPONENTS, PATHS
from flashsale.web.errors import problem_response


def add_hot_door(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A post-processing hook of drf-spectacular: adds the hot door, and problem documents as the default response."""
    result["paths"].update(PATHS)
    for kind, components in COMPONENTS.items():
        result["components"].setdefault(kind, {}).update(components)
    for path in result["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
                _close(operation.get("requestBody", {}), result["components"]["schemas"])
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


def _close(part: Any, schemas: dict[str, Any]) -> None:
    """Says of each object with named members in a request body that it has no others."""
    if isinstance(part, dict):
        if "properties" in part:
            part["additionalProperties"] = False
        for name, nested in part.items():
            _close(schemas[nested.rpartition("/")[2]] if name == "$ref" else nested, schemas)
    elif isinstance(part, list):
        for nested in part:
            _close(nested, schemas)


@cache
def openapi() -> bytes:
    """The document as JSON. Cached, because it does not change while the process runs."""
    with override("en"):
        return json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str).encode()


class OpenApi(View):
    """Serves the OpenAPI document."""

    def get(self, _request: HttpRequest) -> HttpResponse:
        """The document, the same for every caller."""
        return HttpResponse(openapi(), "application/json", headers={"Cache-Control": "public, max-age=300"})


class Docs(SpectacularSwaggerSplitView):
    """Shows the document. The page has no other form, so its errors are problem documents of Django."""

    http_method_names = ["get", "head"]

    def handle_exception(self, exc: Exception) -> Any:
        """A problem document. Raises what is no refusal of the framework."""
        if not isinstance(exc, APIException):
            raise exc
        return problem_response(self.request, problems.code_for_status(exc.status_code), detail=str(exc.detail))


# Swagger UI sets style attributes and loads icons from data: URLs. It shows no text that shoppers typed.
allow_swagger_styles = csp_update({"style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"]})


@require_safe
def problem_page(request: HttpRequest, code: str) -> JsonResponse:
    """The page at the `type` of a problem document: its status and its titles in both languages."""
    problem = next((problem for problem in problems.REFUSALS if problem.value == code), None)
    if problem is None:
        raise Http404
    titles = {language: problems.title(problem, language) for language in ("id", "en")}
    return JsonResponse({"type": request.path, "code": code, "status": problems.status_of(problem), "title": titles})
