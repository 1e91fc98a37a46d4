"""Forms as a browser without scripts has them: what a page holds is what is sent, unless somebody types."""

from html.parser import HTMLParser
from typing import Any

from django.http import HttpResponse
from django.test import Client


class _Form(HTMLParser):
    """The fields of the page's form with the method "post" and an element of the id or class given."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._inside = self._select = self._text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        field: dict[str, Any] = dict(attrs)
        if tag == "form":
            self._inside = field.get("id", "step") if field.get("method") == "post" else ""
        if not self._inside or self._inside == "logout-form":
            return
        name, value = field.get("name", ""), field.get("value", "on" if field.get("type") == "checkbox" else "")
        if tag == "input" and name and field.get("type") not in {"submit", "button"}:
            if field.get("type") not in {"checkbox", "radio"} or "checked" in field:
                self.values.setdefault(name, []).append(value)
        elif tag == "select":
            self._select = name
        elif tag == "option" and "selected" in field and self._select:
            self.values.setdefault(self._select, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = ""
        elif tag == "select":
            self._select = ""


def held(page: HttpResponse) -> dict[str, list[str]]:
    """What the page's form would send as it is."""
    return _Form(page.content.decode()).values


def send(client: Client, url: str, **typed: Any) -> HttpResponse:
    """Opens a page, types into its form and sends it; the page that follows."""
    page = client.get(url)
    assert page.status_code == 200, (url, page.status_code)
    return client.post(url, {**held(page), **typed}, follow=True)


def said(page: HttpResponse) -> list[str]:
    """The messages on a page."""
    return [str(message) for message in page.context["messages"]]


def links(page: HttpResponse, name: str) -> list[str]:
    """The addresses on a page that contain a step's name."""
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            href = dict(attrs).get("href") or ""
            if tag == "a" and f"/{name}/" in href:
                found.append(href)

    Links().feed(page.content.decode())
    return found
