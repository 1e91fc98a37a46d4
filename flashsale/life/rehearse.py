"""Rehearse: a copy of a sale in test mode on this installation, with a simulated crowd, deleted at its end.

How this works
--------------
    start      a row with the terms and the SHA-256 of a one-time key. Nothing is copied yet
    begin      the crowd shows the key: the sale is copied into a test campaign, published, and opens soon
    note       the crowd says once a second how it goes, and hears whether it must stop
    end        the crowd sends its figures, or its signs of life end
    finish     the promises are audited, the copy is deleted, and the report is kept

The copy is a sandbox (life/sandbox.py): no money, no letters, no list, no settlement, no live board. Its channels are
partners, also that of our own page, because no code is sent. Each has a key that ends with the copy. The process may
die in each step: `sweep` finishes what gives no sign of life, and safely repeats what was begun.
"""

import hashlib
import math
import re
import secrets
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import Error, IntegrityError, models, transaction
from django.db.models import ProtectedError, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.gate.client import GateDown
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.audit import audit
from flashsale.life.rehearsal_copy import copy_sale, crowd_lines, plan_problems
from flashsale.life.sale_control import call_off
from flashsale.life.sandbox import ENDED, delete_test_sale
from flashsale.life.schedule import publish
from flashsale.life.staff_campaigns import is_limited
from flashsale.models import Campaign, Channel, PartnerKey, Record, Rehearsal, Sale, Stock
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import DEFAULTS, QuotaClass, quotas_in
from flashsale.rules.rehearsals import CLASSES, PREFIX, Facts, Terms, limits_of, read_figures
from flashsale.rules.states import SaleState

log = structlog.get_logger(__name__)
# The kind of work of the advisory lock ("reh" in ASCII).
LOCK = int.from_bytes(b"reh")
# A crowd says once a second how it goes. Without a word for so long, it is gone.
SILENT = timedelta(seconds=30)
# A key that no crowd has shown for so long is worth nothing.
KEY_KEPT = timedelta(minutes=30)
# The crowd leaves after its minutes. The rest is for its way in, and for slow answers.
SPARE = timedelta(minutes=5)
PROCESSORS = Path("/proc/stat")
# During a rehearsal, a live sale that opens so soon ends it.
NEAR = timedelta(minutes=5)
MESSAGE = "A rehearsal, which is over."
KEY_PREFIX = "fs_rehearsal_"
# The form of each key.
KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{32}}")
WHY = {
    "asked": gettext_lazy("A person stopped it."),
    "silent": gettext_lazy("The crowd gave no sign of life for 30 seconds."),
    "not_begun": gettext_lazy("No crowd came with the key in 30 minutes."),
    "late": gettext_lazy("The crowd did not leave in its time."),
    "live_sale": gettext_lazy("A live sale runs or opens soon."),
    "not_copied": gettext_lazy("The sale could not be copied. The log of the server says why."),
}


def possible(terms: Terms) -> Terms:
    """The same terms. Raises ValidationError for those that are not possible on this installation, with all reasons."""
    bounds = (
        ("people", terms.people, 1, settings.FLASHSALE_REHEARSAL_PEOPLE),
        ("no-shows", terms.no_shows, 0, 0.95),
        ("speed", terms.speed, 1, settings.FLASHSALE_REHEARSAL_SPEED),
        ("minutes", terms.minutes, 1, settings.FLASHSALE_REHEARSAL_MINUTES),
        ("seed", terms.seed, 0, 2**31),
    )
    wrong = [
        _("%(name)s: %(found)s is not possible; from %(least)s to %(most)s.")
        % {"name": name, "found": found, "least": least, "most": most}
        for name, found, least, most in bounds
        if not least <= found <= most
    ]
    if wrong:
        raise ValidationError(wrong)
    return terms


def default_people(sale: Sale) -> int:
    """Twice as many people as there are units, within the bound of this installation."""
    units = Stock.objects.filter(allocation__sale=sale).aggregate(sum=Sum("quantity"))["sum"] or 0
    return int(min(max(2 * units, 10), settings.FLASHSALE_REHEARSAL_PEOPLE))


def live_sale_near(now: datetime, ahead: timedelta) -> Sale | None:
    """A live sale that is open or opens within `ahead`; None if there is none."""
    near = Sale.objects.filter(
        state__in=[SaleState.PUBLISHED, SaleState.PAUSED], opens_at__lt=now + ahead, campaign__sandbox_of=None
    )
    return next((sale for sale in near.select_related("campaign", "clock") if not sale.is_over(now)), None)


def obstacles(*, sale: Sale, forced: bool = False) -> list[str]:
    """Why this sale cannot be rehearsed now, as texts. Empty when it can."""
    if sale.campaign.is_test:
        return [_("This is a test sale already.")]
    found = [] if forced else live_sales_in_the_way()
    if Rehearsal.objects.filter(state=Rehearsal.State.OPEN).exists():
        found.append(_("Another rehearsal is not over. Wait for it, or stop it."))
    return found + plan_problems(sale)


def live_sales_in_the_way() -> list[str]:
    """The live sale that a rehearsal may disturb, as a text. Empty if there is none."""
    near = live_sale_near(timezone.now(), timedelta(minutes=settings.FLASHSALE_REHEARSAL_AHEAD))
    if near is None:
        return []
    text = _("The live sale %(sale)s runs, or opens within %(minutes)d minutes.")
    return [text % {"sale": near.code, "minutes": settings.FLASHSALE_REHEARSAL_AHEAD}]


def start(*, sale: Sale, terms: Terms, by: Any = None, forced: bool = False) -> tuple[Rehearsal, str]:
    """A rehearsal that waits for its crowd, and the one-time key of the crowd, which is not kept.

    `forced`: also near a live sale, for people who may run the sales of all campaigns. Raises ValidationError when it
    is not possible, with all reasons.
    """
    possible(terms)
    if forced and isinstance(by, User) and (is_limited(by) or not by.has_perm("flashsale.run_sale")):
        raise ValidationError(_("Only people who may run sales can rehearse near a live sale."))
    if found := obstacles(sale=sale, forced=forced):
        raise ValidationError(found)
    key = f"{KEY_PREFIX}{secrets.token_urlsafe(24)}"
    asked_by = by if isinstance(by, User) else None
    try:
        with transaction.atomic():
            row = Rehearsal.objects.create(
                sale=sale, name=sale.name, asked_by=asked_by, terms=terms._asdict(), forced=forced, digest=_digest(key)
            )
            Record.write("rehearse", by=by, sale=sale, subject=row, facts={"people": terms.people, "forced": forced})
    except IntegrityError as error:
        raise ValidationError(_("Another rehearsal is not over. Wait for it, or stop it.")) from error
    return row, key


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def require_form(key: str) -> None:
    """Refuses UNAUTHENTICATED what cannot be a key. It asks no database."""
    if not KEY.fullmatch(key):
        raise Refused(Outcome.UNAUTHENTICATED, "This is no key of a rehearsal.")


def _open(key: str) -> Rehearsal:
    """The open rehearsal of this key, with its row locked. Refuses UNAUTHENTICATED."""
    rows = Rehearsal.objects.select_for_update(of=("self",)).select_related("sale__campaign")
    row = rows.filter(digest=_digest(key), state=Rehearsal.State.OPEN).first()
    if row is None:
        raise Refused(Outcome.UNAUTHENTICATED, "This key belongs to no rehearsal, or to one that is over.")
    return row


def begin(*, key: str) -> dict[str, Any]:
    """Copies the sale and publishes the copy. Returns what the crowd must know, with the keys of its channels.

    Works once for a key. If the process dies meanwhile, or the answer is lost, the sweep ends the rehearsal.
    Refuses UNAUTHENTICATED, FORBIDDEN for a key that was used, and NOT_READY near a live sale.
    """
    with transaction.atomic():
        row = _open(key)
        if row.began_at or row.stop_at:
            raise Refused(Outcome.FORBIDDEN, "This key was used, or its rehearsal is stopped. Start another one.")
        if not row.forced and live_sale_near(timezone.now(), timedelta(minutes=settings.FLASHSALE_REHEARSAL_AHEAD)):
            raise Refused(Outcome.NOT_READY, str(WHY["live_sale"]), 60)
        row.began_at = row.seen_at = timezone.now()
        row.processors = _processors()
        row.save()
    try:
        with transaction.atomic():
            copy = copy_sale(row)
            Rehearsal.objects.filter(pk=row.pk).update(campaign=copy.campaign)
        publish(sale=copy, by=f"rehearsal:{row.pk}")
    except (ValidationError, GateDown, Error) as error:
        log.warning("a sale could not be copied for a rehearsal", rehearsal=row.pk, error=repr(error))
        _stop(row, "not_copied")
        raise Refused(Outcome.NOT_READY, f"The sale could not be copied: {error}") from error
    keys = {
        channel.code: PartnerKey.make(channel, by=f"rehearsal:{row.pk}")[1]
        for channel in copy.campaign.channels.order_by("pk")
    }
    names = copy.campaign.channels.values_list("payment_accounts", flat=True)[0]
    return {
        "sale": copy.code,
        "opens_in_ms": round((copy.opens_at - timezone.now()).total_seconds() * 1000),
        "claim_s": copy.claim_s,
        "axes": dict(copy.campaign.axes.values_list("axis", "checked_at")),
        "hard": list(copy.campaign.axes.filter(hard=True).values_list("axis", flat=True)),
        "method": payments.methods_of(names=names, test=True)[0].name,
        "lines": [line | {"key": keys[line["channel"]]} for line in crowd_lines(copy)],
        "terms": row.terms,
    }


def note(*, key: str, progress: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps how the crowd goes, a sign of life. Returns whether it must stop, and the report when there is one.

    Refuses UNAUTHENTICATED.
    """
    row = Rehearsal.objects.filter(digest=_digest(key)).first()
    if row is None:
        raise Refused(Outcome.UNAUTHENTICATED, "This key belongs to no rehearsal.")
    now = timezone.now()
    if row.state == Rehearsal.State.OPEN and row.figures is None:
        load = _load_since(row.processors)
        load = row.load if load is None else load
        shown = {str(name)[:20]: value for name, value in list(progress.items())[:10] if type(value) is int}
        Rehearsal.objects.filter(pk=row.pk).update(progress=shown, seen_at=now, load=load)
        if not row.forced and not row.stop_at and live_sale_near(now, NEAR):
            _stop(row, "live_sale")
            row.refresh_from_db()
    return {"stop": bool(row.stop_at) or row.state == Rehearsal.State.ENDED, "report": row.report}


def _processors() -> dict[str, Any]:
    """The ticks of this machine's processors since its start, busy and in all. Empty where there is no /proc."""
    try:
        ticks = [int(part) for part in PROCESSORS.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return {}
    return {"host": socket.gethostname(), "busy": sum(ticks) - ticks[3] - ticks[4], "all": sum(ticks)}


def _load_since(then: Mapping[str, Any]) -> float | None:
    """The share of this machine's processors that was busy since then; None where another machine was asked."""
    now = _processors()
    if not now or now["host"] != then.get("host") or now["all"] <= then["all"]:
        return None
    return round(float((now["busy"] - then["busy"]) / (now["all"] - then["all"])), 3)


def end(*, key: str, figures: Any) -> None:
    """Keeps the figures of the crowd, which has left. A repeat changes nothing. Refuses UNAUTHENTICATED, MALFORMED."""
    try:
        found = read_figures(figures)
    except ValueError as error:
        raise Refused(Outcome.MALFORMED, str(error)) from error
    with transaction.atomic():
        row = _open(key)
        if row.figures is None:
            row.figures = found
            row.save(update_fields=["figures"])


def stop(*, rehearsal: Rehearsal, by: Any = None) -> None:
    """Stops a rehearsal: the crowd leaves within some seconds, and the copy is deleted then. Safe to repeat."""
    with transaction.atomic():
        if _stop(rehearsal, "asked"):
            Record.write("stop_rehearsal", by=by, sale=rehearsal.sale, subject=rehearsal)


def _stop(row: Rehearsal, why: str) -> bool:
    """Notes that a rehearsal must end. Returns False if that was noted before."""
    open_rows = Rehearsal.objects.filter(pk=row.pk, state=Rehearsal.State.OPEN, stop_at=None)
    return bool(open_rows.update(stop_at=timezone.now(), why=why))


def sweep() -> int:
    """Finishes the rehearsals whose crowd has left, is silent, or never came, and deletes copies without a rehearsal.

    Returns how many are finished. Safe to repeat, and in several processes at once.
    """
    done = sum(finish(rehearsal=row) for row in Rehearsal.objects.filter(state=Rehearsal.State.OPEN))
    for campaign in Campaign.objects.filter(code__startswith=PREFIX, rehearsal=None).exclude(sandbox_of=None):
        _throw_away(campaign)
    return done


def finish(*, rehearsal: Rehearsal) -> bool:
    """Finishes a rehearsal if its crowd has left or is gone: audits, deletes the copy, writes the report.

    Returns whether it is finished by this call. Safe to repeat: while the report is not written, all of it is done
    again, and a campaign that is deleted already has no promise left to audit.
    """
    with advisory_lock(LOCK, 0, wait=False) as is_mine:
        row = Rehearsal.objects.select_related("sale", "campaign").get(pk=rehearsal.pk)
        if not is_mine or row.state == Rehearsal.State.ENDED or not _is_over(row):
            return False
        row.refresh_from_db()
        if row.report is None:
            row.report = _report(row)
            row.save(update_fields=["report"])
        if row.campaign and not _throw_away(row.campaign):
            return False
        Rehearsal.objects.filter(pk=row.pk).update(state=Rehearsal.State.ENDED, ended_at=timezone.now())
    return True


def _is_over(row: Rehearsal) -> bool:
    """Whether the crowd has left or is gone. Notes why, if that is not what was planned."""
    now = timezone.now()
    minutes = timedelta(minutes=row.terms["minutes"])
    if row.figures is not None:
        return True
    if row.began_at is None:
        if not row.stop_at and row.asked_at < now - KEY_KEPT:
            _stop(row, "not_begun")
            return True
        return row.stop_at is not None
    if now - row.began_at > minutes + _lead(row) + SPARE:
        _stop(row, "late")
        return True
    silent = row.seen_at is None or now - row.seen_at > SILENT
    if silent:
        _stop(row, "silent")
    return silent


def _lead(row: Rehearsal) -> timedelta:
    return timedelta(seconds=math.ceil(row.terms["people"] / row.terms["speed"]))


def _report(row: Rehearsal) -> dict[str, Any]:
    """What is kept: the figures, what limits the sale, and the promises, as they stood before the copy was deleted."""
    copy = Sale.objects.filter(campaign=row.campaign).first() if row.campaign else None
    report: dict[str, Any] = {"figures": row.figures, "limits": [], "promises": [], "units": 0}
    if copy is None:
        return report
    report["promises"] = [
        {"promise": found.promise, "title": found.title, "verdict": found.verdict.value, "broken": len(found.broken)}
        for found in audit(campaign=copy.campaign.code)
    ]
    facts = _facts(row, copy)
    report["units"], report["claim_s"] = facts.units, facts.claim_s
    if row.figures is not None:
        report["limits"] = [limit._asdict() for limit in limits_of(row.figures, facts)]
    return report


def _facts(row: Rehearsal, copy: Sale) -> Facts:
    quotas = {}
    for channel in copy.campaign.channels.all():
        own = quotas_in(channel.quotas)
        for name in set(CLASSES.values()):
            class_ = QuotaClass(name)
            quotas[f"{channel.code}/{name}"] = own.get(class_, DEFAULTS[class_])
    names = {row.sale.campaign.payment_accounts} if row.sale else {""}
    if row.sale:
        channels = Channel.objects.filter(allocations__sale=row.sale).distinct()
        names = {channel.payment_accounts or row.sale.campaign.payment_accounts for channel in channels}
    paces = payments.paces(names)
    return Facts(
        units=Stock.objects.filter(allocation__sale=copy).aggregate(sum=Sum("quantity"))["sum"] or 0,
        claim_s=copy.claim_s,
        lines=len({line["line"] for line in crowd_lines(copy)}),
        rate_per_s=copy.rate_per_s,
        max_entries=copy.max_entries,
        quotas=quotas,
        pace=sum(paces.values()),
        load=row.load,
    )


def _throw_away(campaign: Campaign) -> bool:
    """Deletes the campaign of a copy with all that belongs to it. Returns False if that must be tried again."""
    try:
        for sale in Sale.objects.filter(campaign=campaign).select_related("campaign"):
            if sale.state in {SaleState.PUBLISHED, SaleState.PAUSED} and not sale.is_over(timezone.now()):
                call_off(sale=sale, message=MESSAGE, by="clock")
            elif not Sale.objects.filter(ENDED, pk=sale.pk).exists():
                # It ran until its closing. Nothing of it is left that a close would wait for.
                models.QuerySet(Sale).filter(pk=sale.pk).update(state=SaleState.CLOSED, paused_at=None)
            if not delete_test_sale(Sale.objects.select_related("campaign").get(pk=sale.pk)):
                return False
        with transaction.atomic():
            # The base manager, because a rehearsal has promised nothing to anybody.
            rows: models.QuerySet[Campaign] = models.QuerySet(Campaign).filter(pk=campaign.pk)
            rows.update(sandbox_of=None)
            rows.delete()
    except (ProtectedError, Error, GateDown, Refused, ValidationError) as error:
        log.warning("a rehearsal cannot be deleted yet, and is tried again", campaign=campaign.code, error=repr(error))
        return False
    return True
