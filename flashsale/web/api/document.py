"""The OpenAPI document of the whole API, a page that shows it, and a page for each problem code."""

import json
from copy import deepcopy
from functools import cache
from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import get_template
from django.utils.translation import override
from django.views import View
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.exceptions import APIException

from flashsale.web import problems
from flashsale.web.api.document_common import HEADERS, REFUSALS, TAGS, describe
from flashsale.web.api.examples import add_examples
from flashsale.web.api.hot_serializers import PATHS, SCHEMAS
from flashsale.web.errors import problem_response


def complete(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """A post-processing hook of drf-spectacular: adds the hot door, and what all operations have in common."""
    result["paths"] = dict(sorted((result["paths"] | deepcopy(PATHS)).items()))
    components = result["components"]
    components.setdefault("schemas", {}).update(deepcopy(SCHEMAS))
    components["headers"] = HEADERS
    components["responses"] = dict(REFUSALS.values())
    for path in result["paths"].values():
        for operation in path.values():
            describe(operation)
            _close(operation.get("requestBody", {}), components["schemas"])
            add_examples(operation)
    result["servers"] = [{"url": "/", "description": "This server."}]
    result["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
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
    """The document as JSON, indented. Cached, because it does not change while the process runs."""
    with override("en"):
        return json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str, indent=1).encode()


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


@require_safe
def llms(_request: HttpRequest) -> HttpResponse:
    """The API in one page of Markdown, for language models (llmstxt.org)."""
    text = get_template("flashsale/llms.txt").render()
    return HttpResponse(text, "text/plain; charset=utf-8", headers={"Cache-Control": "public, max-age=300"})


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
