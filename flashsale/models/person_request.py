"""Requests of people about their data, restrictions of orders, and the keys of digests of people in the audit trail."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.sealed_data import SealedData

# The law (UU PDP) gives three times 24 hours for an answer.
ANSWER_WITHIN = timedelta(hours=72)


class PersonRequest(SealedData):
    """A request of one person about the data that is held about them.

    `sealed` has the values by which the person is known (phone, e-mail), encrypted; it is empty once the request is
    closed. `orders` are the ids of the orders that an erasure works on, until it is done: an approved erasure may wait
    for the end of a sale.
    """

    class Kind(models.TextChoices):
        FIND = "find", _("say what is held")
        EXPORT = "export", _("hand out a copy")
        CORRECT = "correct", _("correct contact data")
        RESTRICT = "restrict", _("restrict: send and score nothing")
        ERASE = "erase", _("erase the person")

    class State(models.TextChoices):
        OPEN = "open", _("open")
        APPROVED = "approved", _("approved, being carried out")
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")
        LIFTED = "lifted", _("restriction lifted")

    class Proof(models.TextChoices):
        CODE = "code", _("a one-time code to the phone or the mailbox")
        CALLED_BACK = "called_back", _("called back on the number of the order")
        WROTE = "wrote", _("wrote from the mailbox of the order")
        DOCUMENT = "document", _("showed an identity document")
        PARTNER = "partner", _("the partner vouches for the person")

    class Reason(models.TextChoices):
        WISH = "wish", _("the person asked for it")
        WITHDRAWN = "withdrawn", _("the person withdrew the request")
        NOT_PROVEN = "not_proven", _("the identity was not proven")
        NOTHING_HELD = "nothing_held", _("nothing is held about the person")
        MONEY_OPEN = "money_open", _("money or an appeal is not settled")
        RETENTION = "retention", _("the law obliges us to keep it")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=8, default=State.OPEN, choices=State.choices)
    proof = models.CharField(_("identity proven by"), max_length=12, choices=Proof.choices)
    reason = models.CharField(_("reason"), max_length=12, default=Reason.WISH, choices=Reason.choices)
    received_at = models.DateTimeField(_("received"))
    due_at = models.DateTimeField(_("due"))
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("taken by")
    )  # fmt: skip
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("approved by")
    )
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("done by")
    )
    done_at = models.DateTimeField(_("done"), null=True)
    orders = models.JSONField(default=list, editable=False)

    class Meta:
        verbose_name = _("request about personal data")
        verbose_name_plural = _("requests about personal data")
        constraints = [
            models.CheckConstraint(
                condition=Q(approved_by=None) | ~Q(approved_by=F("made_by")), name="two_people_erase_a_person"
            ),
            models.CheckConstraint(
                condition=~Q(kind="erase", state__in=["approved", "done"]) | Q(approved_by__isnull=False),
                name="an_erasure_is_approved",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "approved"], done_at=None)
                | Q(state__in=["done", "refused", "lifted"], done_at__isnull=False),
                name="person_request_state_with_time",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"], condition=Q(state__in=["open", "approved"]), name="person_requests_to_answer"
            )
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.get_kind_display()}"

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to act."""
        return self.state in {self.State.OPEN, self.State.APPROVED}

    def is_late(self, now: datetime) -> bool:
        """Whether the time to answer is over and the request is not closed."""
        return self.is_open and self.due_at < now


class Restriction(models.Model):
    """An order whose buyer has asked that nothing is sent and nothing is scored. The sale goes on as before."""

    reservation = models.OneToOneField(
        Reservation, models.CASCADE, primary_key=True, related_name="restriction", verbose_name=_("reservation")
    )
    request = models.ForeignKey(PersonRequest, models.CASCADE, related_name="restrictions", verbose_name=_("request"))

    class Meta:
        verbose_name = _("restricted order")
        verbose_name_plural = _("restricted orders")

    def __str__(self) -> str:
        return str(self.reservation_id)


class TrailKey(models.Model):
    """The random key of the digests in one record of the audit trail that names what was searched or corrected.

    With the key, a person who knows the value finds its record. Without it, the digest says nothing: so the key is
    deleted when the person is erased, and after a time, while the record stays in the chain.
    """

    position = models.BigIntegerField(primary_key=True)
    key = models.BinaryField()
    who = models.CharField(max_length=60)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("key of the trail")
        verbose_name_plural = _("keys of the trail")
        indexes = [
            models.Index(fields=["who", "made_at"], name="trail_keys_by_staff"),
            models.Index(fields=["made_at"], name="trail_keys_by_age"),
        ]

    def __str__(self) -> str:
        return str(self.position)
