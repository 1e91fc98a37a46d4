"""The list of alarms: what each means, when it is raised, what to look at. docs/operate.md has a paragraph for each.

`after` is how long the trouble lasts before the alarm is raised. `calm` is how long it must be gone before the alarm
ends. So a trouble that comes and goes is one alarm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MANUAL = "docs/operate.md"
S = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """One alarm. `text` is filled with the facts that life/alarm_conditions.py finds."""

    code: str
    title: Promise
    text: Promise
    look: Promise
    after: timedelta = 0 * S
    calm: timedelta = 60 * S

    @property
    def paragraph(self) -> str:
        """The address of its paragraph in the manual."""
        return f"{MANUAL}#alarm-{self.code}"

    def sentence(self, facts: Mapping[str, Any]) -> str:
        """The text with its facts, in the present language. Facts of an earlier release may lack a value."""
        try:
            return str(self.text) % facts
        except (KeyError, TypeError, ValueError):
            return str(self.title)


_KINDS = (
    AlarmKind(
        "promise_broken",
        _("A promise is broken"),
        _("%(sale)s: %(titles)s."),
        _("Pause the sale. Run audit, keep its output, and report it."),
    ),
    AlarmKind(
        "gate_down",
        _("Redis does not answer"),
        _("Redis (the gate) does not answer. People cannot enter or reserve, and the clocks of the sales stop."),
        _("The service redis-sales: does it run, is its disk or its memory full?"),
        after=15 * S,
    ),
    AlarmKind(
        "books_down",
        _("PostgreSQL does not answer"),
        _("PostgreSQL (the books) does not answer. No reservation and no payment is acknowledged."),
        _("The service postgres: does it run, is its disk full, are all its connections in use?"),
        after=15 * S,
    ),
    AlarmKind(
        "worker_silent",
        _("No worker finishes tasks"),
        _("The last task ended %(seconds)d s ago. Letters, refunds and reviews wait. The sales go on."),
        _("The service worker: does it run, does it reach redis-celery?"),
        after=30 * S,
    ),
    AlarmKind(
        "beat_silent",
        _("No beat starts tasks"),
        _("The last task was started %(seconds)d s ago. Letters, refunds and reviews wait. The sales go on."),
        _("The services beat-a and beat-b: does one of them run, does it reach redis-celery?"),
        after=30 * S,
    ),
    AlarmKind(
        "gate_behind",
        _("Redis lags behind PostgreSQL"),
        _("%(sale)s: for %(seconds)d s, Redis has not got what PostgreSQL decided."),
        _("The log of the doors: lines that say that mending failed."),
        after=10 * S,
    ),
    AlarmKind(
        "books_behind",
        _("PostgreSQL lags behind Redis"),
        _("%(sale)s: for %(seconds)d s, PostgreSQL has not got what Redis took."),
        _("PostgreSQL: locks, slow disk, connections in use."),
        after=10 * S,
    ),
    AlarmKind(
        "door_slow",
        _("The door is slow"),
        _("%(sale)s: one request in twenty takes longer than %(ms)d ms."),
        _("The load of the machines of the doors. Add doors, or set the brake."),
        after=60 * S,
        calm=120 * S,
    ),
    AlarmKind(
        "freeze_late",
        _("The tickets are not fixed"),
        _(
            "%(sale)s: its lines should have frozen %(seconds)d s ago, but their entries are not committed. Until they "
            "are, the line cannot be drawn."
        ),
        _("The log of the doors, the database, Redis, and FLASHSALE_BEACON_CHAIN."),
        calm=0 * S,
    ),
    AlarmKind(
        "beacon_late",
        _("Public randomness is late"),
        _(
            "%(sale)s: no relay has given round %(round)d of drand, so the line waits for its numbers. In about "
            "%(minutes)d min the sale is called off by its published rule."
        ),
        _("The log of the doors for the relays, the way of the doors to them, and FLASHSALE_BEACON_CHAIN."),
        calm=0 * S,
    ),
    AlarmKind(
        "payments_stuck",
        _("Payments are stuck"),
        _("Account %(account)s: %(count)d payments or notifications are overdue by more than 10 minutes."),
        _("The status page of the provider, the row of the account in doctor, and the worker."),
        after=60 * S,
        calm=180 * S,
    ),
    AlarmKind(
        "refunds_stuck",
        _("Refunds are stuck"),
        _("Account %(account)s: %(count)d refunds do not go out."),
        _("Money that waits in the admin, and the dashboard of the provider."),
        after=60 * S,
        calm=180 * S,
    ),
    AlarmKind(
        "letters_failing",
        _("Letters do not go out"),
        _("%(count)d letters wait, because the mail server does not take them or no worker sends them."),
        _("The mail server (EMAIL_URL or the mail service), and the worker."),
        after=60 * S,
        calm=180 * S,
    ),
    AlarmKind(
        "webhook_off",
        _("A partner's webhook was switched off"),
        _("%(channel)s: its receiver answered that it is gone, or took nothing for a day (%(why)s)."),
        _("Webhooks in the admin. Tell the partner."),
        calm=0 * S,
    ),
    AlarmKind(
        "review_near",
        _("Reviews are near their date"),
        _("%(count)d cases or appeals must be decided within two days. Later the provider refunds no more."),
        _("Cases, appeals, and Money that waits in the admin."),
        calm=300 * S,
    ),
    AlarmKind(
        "gate_disk",
        _("Redis has trouble with its disk or memory"),
        _("Redis (the gate) says: %(words)s."),
        _("Disk and memory of the service redis-sales."),
    ),
    AlarmKind(
        "monitor_silent",
        _("The monitor is silent"),
        _("The promises were not checked, or no samples were stored, for %(seconds)d s."),
        _("The log of the worker for the monitor, the log of the doors for the samples."),
        after=30 * S,
    ),
)  # fmt: skip
ALARMS: Mapping[str, AlarmKind] = {kind.code: kind for kind in _KINDS}
