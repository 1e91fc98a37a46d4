"""Applies planned values to campaigns and drafts: says what changes and what is wrong, all or nothing.

A dry run does the same and undoes it, so what it says is what happens. Equal values change nothing, so a plan can be
applied again. `life/plan_file.py` reads plan files, `life/import_rows.py` tables.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models.deletion import ProtectedError
from django.utils.translation import gettext as _

from flashsale.books.reservations import lock_campaign
from flashsale.life import schedule
from flashsale.life.enter import digester
from flashsale.models import Allocation, Campaign, Channel, ListEntry, Offer, Record, Sale, Stock
from flashsale.models.record import record_name
from flashsale.rules.identity import Axis, BadValue, canonical_value
from flashsale.rules.money import format_money
from flashsale.rules.states import SaleState

SHOWN_MAX = 60
_ROUNDED = re.compile(r"[0-9][.,]?[0-9]*E\+?[0-9]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: the line or row of the file (0: all of it), the field, and a text."""

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        where = _("line %(line)d") % {"line": self.line} if self.line else _("the file")
        return f"{where}, {self.field}: {self.text}" if self.field else f"{where}: {self.text}"


def lock_drafts(campaign: Campaign) -> None:
    """Locks a campaign and its drafts until the transaction ends. Call it before the first of them is read.

    A row is saved with all its fields. Without the lock, a field that a form has changed since would get its old value
    again. The publication takes this lock, too. Published sales are not locked, because their buyers need them.
    """
    lock_campaign(campaign.pk)
    drafts = campaign.sales.filter(state=SaleState.DRAFT).select_for_update().order_by("pk")
    list(drafts.values_list("pk", flat=True))


# The line of a field, by its name in the file; "" is the line where the thing begins.
LineOf = Callable[[str], int]


@dataclass(slots=True)
class Applied:
    """What an application has changed, as texts for people, and what is wrong. With problems, nothing was changed."""

    changes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Who applies, for the audit trail.
    by: Any = None

    def wrong(self, line: int, name: str, text: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(line, name, text))

    @contextmanager
    def transaction(self, *, dry_run: bool, by: Any, campaign: Callable[[], Campaign | None]) -> Iterator[None]:
        """Undoes everything after a dry run or a problem; otherwise the audit trail gets what changed."""
        self.by = by
        try:
            with transaction.atomic():
                yield
                if self.problems or dry_run:
                    transaction.set_rollback(True)
                elif self.changes:
                    Record.write("apply_plan", by=by, campaign=campaign(), facts=self.facts)
        except IntegrityError:
            self.wrong(0, "", _("Another change came at the same time, so nothing was changed. Apply the file again."))
        self.problems.sort(key=lambda problem: problem.line)

    def save(
        self, row: models.Model, values: Mapping[str, Any], title: str, line_of: LineOf, names: Any = None
    ) -> bool:
        """Gives the row these values. Returns whether it has them; if not, the problems say why.

        `names` has the name in the file by the name of the model's field.
        """
        new = row.pk is None
        old = {name: getattr(row, name) for name in values if not (new and isinstance(values[name], models.Model))}
        changed = {name: value for name, value in values.items() if new or old[name] != value}
        if not changed and not new:
            return True
        for name, value in changed.items():
            setattr(row, name, value)
        try:
            row.full_clean(exclude=["line_id"] if isinstance(row, Allocation) else None)
            row.save()
        except ValidationError as error:  # of the save: a publication has frozen the row since it was read
            self._note(error, title, line_of, names or {})
            return False
        if new:
            self.changes.append(_("new: %(what)s") % {"what": title})
            self.facts.setdefault("added", {})[record_name(row)] = {k: _plain(v) for k, v in values.items()}
            return True
        facts = self.facts.setdefault("changed", {}).setdefault(record_name(row), {})
        for name, value in changed.items():
            facts[name] = [_plain(old[name]), _plain(value)]
            shown = {"what": title, "field": (names or {}).get(name, name)}
            shown |= {"old": shown_value(old[name], row), "new": shown_value(value, row)}
            self.changes.append(_("%(what)s, %(field)s: %(old)s → %(new)s") % shown)
        return True

    def _note(self, error: ValidationError, title: str, line_of: LineOf, names: Mapping[str, str]) -> None:
        if not hasattr(error, "error_dict"):
            self.wrong(line_of(""), title, " ".join(error.messages))
            return
        for name, errors in error.error_dict.items():
            known = "" if name == "__all__" else names.get(name, name)
            texts = [
                _("This value is missing.") if one.code == "null" else text for one in errors for text in one.messages
            ]
            self.wrong(line_of(known), known or title, " ".join(texts))

    def remove(self, row: models.Model, title: str, line: int) -> None:
        """Deletes a row that the plan no longer has."""
        name = record_name(row)
        try:
            row.delete()
        except ProtectedError:
            self.wrong(
                line, title, _("It cannot be removed, because another line rolls over to it or carries its order.")
            )
        except ValidationError as error:
            self.wrong(line, title, " ".join(error.messages))
        else:
            self.changes.append(_("removed: %(what)s") % {"what": title})
            self.facts.setdefault("deleted", {})[name] = True

    def channels(self, line: Allocation, codes: Sequence[str], title: str, at: int) -> None:
        """Lets these channels of the campaign lead to the line, and no other."""
        known = {channel.code: channel for channel in Channel.objects.filter(campaign=line.sale.campaign_id)}
        unknown = sorted(set(codes) - set(known))
        if unknown:
            text = _("%(found)s: no channel of the campaign. Known: %(known)s.")
            self.wrong(at, "channels", text % {"found": ", ".join(unknown), "known": ", ".join(sorted(known)) or "–"})
            return
        before = set(line.channels.values_list("code", flat=True))
        if before == set(codes):
            return
        try:
            line.channels.set([known[code] for code in codes])
        except ValidationError as error:
            self.wrong(at, "channels", " ".join(error.messages))
            return
        shown = {"what": title, "field": _("channels"), "old": ", ".join(sorted(before)) or "–"}
        self.changes.append(_("%(what)s, %(field)s: %(old)s → %(new)s") % {**shown, "new": ", ".join(sorted(codes))})
        self.facts.setdefault("channels", {})[record_name(line)] = sorted(codes)

    def units(self, line: Allocation, offer: Offer, quantity: int, line_of: LineOf) -> None:
        """Gives the line this many units of the offer."""
        title = _("units of %(sku)s in %(line)s") % {"sku": offer.sku, "line": f"{line.sale.code}/{line.code}"}
        row = Stock.objects.filter(allocation=line, offer=offer).first() or Stock(allocation=line, offer=offer)
        new = row.pk is None
        if self.save(row, {"quantity": quantity}, title, line_of, {"quantity": "units"}) and new:
            self.changes[-1] = f"{self.changes[-1]}: {quantity}"

    def people(
        self, line: Allocation, people: Sequence[tuple[int, str, str]], title: str, place: "Place | None" = None
    ) -> None:
        """Puts people on the list of the line, by (row, axis, value). All that cannot be read are named.

        `place` has the line of the file and the begin of the text for a row; by default the row itself is the line.
        """
        hard = set(line.sale.campaign.axes.filter(hard=True, checked_at="enter").values_list("axis", flat=True))
        where = place or (lambda row: (row, ""))
        wrong = len(self.problems)
        for row, axis, value in people:
            if found := _unreadable(axis, value, hard, line.sale.campaign.canon_version):
                name, text = found
                self.wrong(where(row)[0], name, where(row)[1] + text)
        if len(self.problems) > wrong or not people:
            return
        values, at = [(Axis(axis), value) for _row, axis, value in people], where(people[0][0])[0]
        try:
            if line.sale.state != SaleState.DRAFT and all_listed(line, values):
                return
            if not line.listed_only and not self.save(line, {"listed_only": True}, title, lambda _name: at):
                return
            added = schedule.put_on_list(line=line, people=values, by=self.by)
        except ValidationError as error:
            self.wrong(at, title, " ".join(error.messages))
            return
        if added:
            self.changes.append(_("%(what)s: %(count)d people are new on the list") % {"what": title, "count": added})
            self.facts.setdefault("people", {})[record_name(line)] = added


# For a row of a list: the line of the plan file, and how the text about it begins.
Place = Callable[[int], tuple[int, str]]


def _unreadable(axis: str, value: str, hard: set[str], canon_version: int) -> tuple[str, str] | None:
    """The field and the reason if a person of a list cannot be read."""
    if axis not in hard:
        text = _("%(found)s: no hard axis that is checked when entering. Known: %(known)s.")
        return "axis", text % {"found": axis[:SHOWN_MAX] or "–", "known": ", ".join(sorted(hard)) or "–"}
    if axis == Axis.PHONE and _ROUNDED.fullmatch(value):
        return "value", _("The spreadsheet has rounded this number. Format the column as text, then fill it.")
    try:
        canonical_value(Axis(axis), value, canon_version)
    except BadValue:
        return "value", _("A value of %(axis)s cannot be read.") % {"axis": axis}
    return None


def all_listed(line: Allocation, people: Sequence[tuple[Axis, str]]) -> bool:
    """Whether all these people are on the list of the line already."""
    campaign = line.sale.campaign
    if campaign.erased_at:
        return False
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    channel = schedule.list_channel(line=line, axes={axis for axis, _value in people})
    known = set(ListEntry.objects.filter(allocation=line).values_list("axis", "digest"))
    return all((axis, digests.digest(axis, value, channel=channel).hex()) in known for axis, value in people)


def shown_value(value: Any, row: Any) -> str:
    """A value as people read it: times in the campaign's zone, prices in its currency."""
    if isinstance(value, datetime):
        campaign = row.campaign if isinstance(row, Sale) else row.sale.campaign
        return format_time(value, campaign.zone)
    if isinstance(row, Offer) and isinstance(value, int):
        return format_money(value, row.sale.campaign.currency).replace("\u00a0", " ")
    if value is None or value == "":
        return "–"
    return str(value)[:SHOWN_MAX]


def format_time(at: datetime, zone: ZoneInfo) -> str:
    """2027-01-29 10:00 WIB, as plan files and tables have it."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def _plain(value: Any) -> Any:
    """A value as JSON for the audit trail."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, models.Model):
        return record_name(value)
    return str(value) if isinstance(value, Decimal) else value
