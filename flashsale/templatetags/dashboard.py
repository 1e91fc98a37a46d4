"""The cards on the first page of the admin."""

from typing import Any

from django import template

from flashsale.admin import dashboard

register = template.Library()


@register.inclusion_tag("admin/flashsale/dashboard.html", takes_context=True)
def dashboard_cards(context: dict[str, Any]) -> dict[str, Any]:
    """Sales, cases and notices, as far as the reader may see them."""
    return dashboard.content(context["request"].user)
