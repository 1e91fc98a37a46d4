"""Rehearsals: the button on a sale, the progress, the stop button, and the report."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import Action, ReadOnlyAdmin, Table
from flashsale.admin.labels import local_time
from flashsale.admin.sale_actions import SaleAction, units_table
from flashsale.life import rehearse
from flashsale.life.rehearsal_report import headline, limits, parts
from flashsale.models import Rehearsal, Sale
from flashsale.rules.rehearsals import Terms
from flashsale.rules.states import SaleState

REFRESH_S = 3
BAR_WIDTH = 300
INSTALL = "pip install -r requirements-demo.txt"
COMMAND = "FLASHSALE_REHEARSAL_KEY={key} python -m simulation.rehearsal --url {url}"
SEED_MAX = 2**31
# What the crowd needs of the optional packages.
PACKAGES = ("simulation", "uvloop")


def has_simulation() -> bool:
    """Whether this server has the simulation, which is an optional install, so that it can send the crowd itself."""
    return all(find_spec(name) for name in PACKAGES)


class RehearseForm(forms.Form):
    """How the crowd comes."""

    people = forms.IntegerField(label=gettext_lazy("people"), min_value=1)
    no_shows = forms.IntegerField(
        label=gettext_lazy("do not come when called, percent"), min_value=0, max_value=95, initial=10
    )
    speed = forms.IntegerField(label=gettext_lazy("people who enter in a second"), min_value=1)
    minutes = forms.IntegerField(label=gettext_lazy("leave after so many minutes"), min_value=1)
    forced = forms.BooleanField(
        label=gettext_lazy("also while a live sale runs or opens soon"), required=False,
        help_text=gettext_lazy("The crowd then takes its part of the servers from the live sale."),
    )  # fmt: skip
    elsewhere = forms.BooleanField(
        label=gettext_lazy("the crowd comes from another machine"), required=False,
        help_text=gettext_lazy("The next page shows the command and its one-time key."),
    )  # fmt: skip

    def __init__(self, data: Any, *, sale: Sale) -> None:
        super().__init__(data)
        bounds = {
            "people": (settings.FLASHSALE_REHEARSAL_PEOPLE, rehearse.default_people(sale)),
            "speed": (settings.FLASHSALE_REHEARSAL_SPEED, min(50, settings.FLASHSALE_REHEARSAL_SPEED)),
            "minutes": (settings.FLASHSALE_REHEARSAL_MINUTES, min(15, settings.FLASHSALE_REHEARSAL_MINUTES)),
        }
        for name, (most, initial) in bounds.items():
            field = self.fields[name]
            field.initial = initial
            field.help_text = _("At most %(most)d.") % {"most": most}
            field.widget.attrs["max"] = most
        if not has_simulation():
            self.fields["elsewhere"].initial = True

    def clean_forced(self) -> bool:
        """Refuses here what `rehearse.start` would refuse, so that the page keeps what was typed."""
        forced = bool(self.cleaned_data["forced"])
        near = [] if forced else rehearse.live_sales_in_the_way()
        if near:
            raise forms.ValidationError([*near, _("Tick this to rehearse all the same.")])
        return forced


class Rehearse(SaleAction):
    """Copies the sale in test mode, and sends a simulated crowd to the copy."""

    name = "rehearse"
    title = gettext_lazy("Rehearse")
    permission = "flashsale.add_rehearsal"

    def is_available(self, row: Sale) -> bool:
        """For a draft or a published sale that is no test sale itself."""
        return row.state in {SaleState.DRAFT, SaleState.PUBLISHED} and not row.campaign.is_test

    def build_form(self, rows: Sequence[Sale], data: Any) -> forms.Form:
        """Size and speed of the crowd."""
        return RehearseForm(data, sale=rows[0])

    def obstacles(self, rows: Sequence[Sale]) -> list[str]:
        """What cannot be forced."""
        return rehearse.obstacles(sale=rows[0], forced=True)

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """What happens, what it costs, and for how long."""
        texts = [
            *rehearse.live_sales_in_the_way(),
            _("The sale is copied with its lines, limits, windows and rates into a test campaign that opens at once."),
            _("Simulated people enter the copy over real HTTP, at the doors of this installation: %(url)s.")
            % {"url": settings.FLASHSALE_REHEARSAL_URL},
            _("It costs real work of Redis, PostgreSQL and the doors, until the crowd leaves. A button stops it."),
            _("No real unit is sold, no limit is used, no money moves and no letter goes out. Shoppers do not see it."),
            _(
                "It lasts %(minutes)d minutes at most. At most %(people)d people come, and at most %(speed)d of them"
                " enter in a second."
            )
            % {
                "minutes": settings.FLASHSALE_REHEARSAL_MINUTES,
                "people": settings.FLASHSALE_REHEARSAL_PEOPLE,
                "speed": settings.FLASHSALE_REHEARSAL_SPEED,
            },
            _("At the end, all of it is deleted. Only the report stays."),
        ]
        if not has_simulation():
            text = _(
                "This server has no simulation. Install it by “%(install)s”, or send the crowd from another machine."
            )
            texts.append(text % {"install": INSTALL})
        return texts

    def tables(self, rows: Sequence[Sale]) -> list[Table]:
        """The units that are copied."""
        return [units_table(rows[0])]

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Starts the rehearsal, and its crowd if it comes from here. Shows its page, or the key of the crowd."""
        terms = Terms(
            data["people"], data["no_shows"] / 100, data["speed"], data["minutes"],
            seed=int.from_bytes(os.urandom(4)) % SEED_MAX,
        )  # fmt: skip
        found, key = rehearse.start(sale=row, terms=terms, by=request.user, forced=data["forced"])
        page = reverse("admin:flashsale_rehearsal_change", args=[found.pk])
        if has_simulation() and not data["elsewhere"]:
            send_crowd(key)
            messages.success(request, _("The rehearsal has begun."))
            return HttpResponseRedirect(page)
        context = {
            **admin.site.each_context(request),
            "title": _("The crowd of the rehearsal"),
            "command": COMMAND.format(key=key, url=settings.FLASHSALE_REHEARSAL_URL),
            "page": page,
            "install": INSTALL,
        }
        return TemplateResponse(request, "admin/flashsale/rehearsal_key.html", context)


def send_crowd(key: str) -> None:
    """Starts the crowd as a process of its own, which goes on when this server stops. The key is in no argument list.

    If the process dies, the crowd gives no sign of life, and the sweep ends the rehearsal.
    """
    command = [sys.executable, "-m", "simulation.rehearsal", "--url", settings.FLASHSALE_REHEARSAL_URL]
    crowd = subprocess.Popen(  # noqa: S603 - the command is ours
        command,
        cwd=settings.BASE_DIR,
        env=os.environ | {"FLASHSALE_REHEARSAL_KEY": key},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Without a process that waits, it would stay in the list of processes after its end.
    threading.Thread(target=crowd.wait, name="crowd of a rehearsal", daemon=True).start()


class Stop(Action):
    """Ends a rehearsal early."""

    name = "stop"
    title = gettext_lazy("Stop the rehearsal")
    permission = "flashsale.add_rehearsal"

    def is_available(self, row: Rehearsal) -> bool:
        """For one that is not over, and not stopped yet."""
        return row.state == Rehearsal.State.OPEN and row.stop_at is None

    def consequences(self, rows: Sequence[Rehearsal]) -> list[str]:  # noqa: ARG002
        """The crowd leaves."""
        return [
            _("The crowd leaves within some seconds, and the copy is deleted."),
            _("The report has what was measured until then."),
        ]

    def perform(self, *, row: Rehearsal, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Stops it."""
        rehearse.stop(rehearsal=row, by=request.user)
        return _("The rehearsal is stopped. The crowd leaves within some seconds.")


@admin.register(Rehearsal)
class RehearsalAdmin(ReadOnlyAdmin):
    """Rehearsals, newest first. The page of one that is not over reloads itself."""

    list_display = ["name", "people", "asked", "state", "ended"]
    list_filter = ["state"]
    list_select_related = ["sale__campaign"]
    ordering = ["-asked_at"]
    fields = ["sale", "people", "state", "ended_because", "asked_by", "asked", "ended"]
    row_actions = (Stop(),)
    panel_template = "admin/flashsale/rehearsal_panel.html"

    def panel(self, row: Rehearsal) -> dict[str, Any]:
        """The progress as a bar (width in units of its viewBox), or the report."""
        if row.report is not None:
            tables = [Table(part.title, part.head, part.rows) for part in parts(row.report)]
            return {"lines": headline(row.report), "limits": limits(row.report), "tables": tables}
        people = max(1, row.terms["people"])
        done = row.progress.get("entered", 0) / people
        return {
            "lines": [_progress(row)],
            "running": True,
            "width": round(BAR_WIDTH * done),
            "percent": round(100 * done),
        }

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Adds a `Refresh` header until the report is there."""
        response = super().change_view(request, *args, **kwargs)
        row = getattr(response, "context_data", {}).get("original") if request.method == "GET" else None
        if row is not None and row.state == Rehearsal.State.OPEN:
            response["Refresh"] = str(REFRESH_S)
        return response

    @admin.display(description=gettext_lazy("crowd"))
    def people(self, row: Rehearsal) -> str:
        """The terms in words."""
        text = ngettext(
            "%(people)d person, %(speed)d enter in a second, %(no_shows)d %% do not come, %(minutes)d min at most",
            "%(people)d people, %(speed)d enter in a second, %(no_shows)d %% do not come, %(minutes)d min at most",
            row.terms["people"],
        )
        return text % (row.terms | {"no_shows": round(100 * row.terms["no_shows"])})

    @admin.display(description=gettext_lazy("ended early because"))
    def ended_because(self, row: Rehearsal) -> str:
        """Why it ended before its time; a dash if it did not."""
        return str(rehearse.WHY.get(row.why, "–"))

    @admin.display(description=gettext_lazy("asked for"), ordering="asked_at")
    def asked(self, row: Rehearsal) -> str:
        """When, in the zone of the sale's campaign."""
        return local_time(row.asked_at, _zone(row))

    @admin.display(description=gettext_lazy("ended"), ordering="ended_at")
    def ended(self, row: Rehearsal) -> str:
        """When, in the zone of the sale's campaign."""
        return local_time(row.ended_at, _zone(row))


def _zone(row: Rehearsal) -> ZoneInfo:
    return row.sale.campaign.zone if row.sale else ZoneInfo(settings.TIME_ZONE)


def _progress(row: Rehearsal) -> str:
    if row.stop_at:
        return _("It is stopped. The copy is deleted, and the report is written.")
    if row.figures is not None:
        return _("The crowd has left. The promises are audited, and the copy is deleted.")
    if row.began_at is None:
        return _("It waits for the crowd.")
    counts = dict.fromkeys(("people", "entered", "called", "paid", "calls"), 0) | row.progress
    return (
        _("%(entered)d of %(people)d entered, %(called)d called, %(paid)d paid; %(calls)d calls in a second") % counts
    )
