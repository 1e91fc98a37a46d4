"""Fills in and sends the admin's forms as a browser without JavaScript does: the page's values, plus typed ones."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class _FormParser(HTMLParser):
    """The values of the fields in the page's POST form. The log-out form does not count."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._form = self._select = self._area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        field: dict[str, Any] = dict(attrs)
        if tag == "form":
            self._form = field.get("id", "action") if field.get("method") == "post" else ""
        if not self._form or self._form == "logout-form":
            return
        name, value = field.get("name", ""), field.get("value", "on" if field.get("type") == "checkbox" else "")
        if tag == "input" and name and field.get("type") not in {"submit", "button"}:
            if field.get("type") not in {"checkbox", "radio"} or "checked" in field:
                self.values.setdefault(name, []).append(value)
        elif tag == "select":
            self._select = name
        elif tag == "textarea":
            self._area = name
            self.values[name] = [""]
        elif tag == "option" and "selected" in field and self._select:
            self.values.setdefault(self._select, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = ""
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            # A browser leaves out the line end after the tag.
            if self._area:
                self.values[self._area] = [self.values[self._area][0].removeprefix("\n").removeprefix("\r\n")]
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][0] += data


def form_values(page: Any) -> dict[str, list[str]]:
    """The values that the page's form would send without any typing."""
    return _FormParser(page.content.decode()).values


def submit(client: Client, url: str, **typed: Any) -> Any:
    """Opens a page, types values into its form and sends it. Returns the page that follows."""
    page = client.get(url)
    assert page.status_code == 200, (url, page.status_code)
    return client.post(url, {**form_values(page), **typed}, follow=True)


def messages_on(page: Any) -> list[str]:
    """The messages on a page."""
    return [str(message) for message in page.context["messages"]]


def action_links(page: Any, name: str) -> list[str]:
    """The addresses of an action's page in the links of a page."""
    found: list[str] = []

    class LinkParser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            href = dict(attrs).get("href") or ""
            if tag == "a" and f"/{name}/" in href:
                found.append(href)

    LinkParser().feed(page.content.decode())
    return found
