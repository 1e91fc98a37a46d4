"""Actions on a refund: send it although an appeal is open, or transfer the money by hand, which takes two people."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Action
from flashsale.admin.labels import local_time
from flashsale.life import refund, stray_refunds
from flashsale.life.address_changes import address_changes
from flashsale.models import PaymentAttempt, Refund
from flashsale.rules.states import RefundState


class RefundAction(Action):
    """An action that changes one refund, if its state still allows it."""

    permission = "flashsale.settle_refund"
    needs_proof = True
    state: RefundState
    done_text: Any
    texts: Sequence[Any]

    def is_available(self, row: Refund) -> bool:
        """For a refund in the state of this action."""
        return row.state == self.state

    def consequences(self, rows: Sequence[Refund]) -> list[str]:  # noqa: ARG002
        """What will happen."""
        return [str(text) for text in self.texts]

    def shown_values(self, row: Refund) -> Any:
        """Amount, state, reference and bank account: another person or the buyer may have changed them."""
        return [str(row.amount), row.state, row.provider_id, given_at(row)]

    def done(self, verb: Callable[..., bool], row: Refund, **fields: Any) -> str:
        """Calls the verb. Raises ValidationError if it changes nothing."""
        if not verb(refund=row.pk, **fields):
            raise ValidationError(_("The refund is no longer in this state: nothing was changed."))
        return str(self.done_text)


class SendNow(RefundAction):
    """A refund that waits for an appeal is sent."""

    name = "send-now"
    title = gettext_lazy("Send the refund now")
    state = RefundState.DUE
    done_text = gettext_lazy("The refund is sent. The buyer may still appeal.")
    texts = (
        gettext_lazy("The buyer gets the money back, although an appeal may still come or is not decided."),
        gettext_lazy("If the buyer wins the appeal, they get the first unit of the next sale in place of the order."),
    )

    def is_available(self, row: Refund) -> bool:
        """For a refund that waits."""
        return row.waits

    def perform(self, *, row: Refund, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Ends the wait."""
        return self.done(refund.send_before_appeal, row, by=request.user)


class ByHand(RefundAction):
    """failed → impossible."""

    name = "by-hand"
    title = gettext_lazy("Transfer it by hand")
    state = RefundState.FAILED
    done_text = gettext_lazy("The money has to be transferred by hand.")
    texts = (
        gettext_lazy("The provider is not asked again. A person transfers the money, and another one confirms it."),
    )

    def perform(self, *, row: Refund, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Gives the provider up."""
        return self.done(refund.send_by_hand, row, by=request.user)


def address_texts(row: Refund) -> list[str]:
    """A sentence for each change of the buyer's e-mail address by staff: somebody else may have answered the letter."""
    order = row.attempt.reservation
    text = _("%(who)s changed the buyer's e-mail address on %(when)s. Ask the buyer by phone before money goes out.")
    return [
        text % {"who": change.name, "when": local_time(change.at, order.sale.campaign.zone)}
        for change in address_changes(order)
    ]


def given_at(row: Refund) -> str:
    """When the buyer gave or changed the bank account, "" if there is none."""
    account = getattr(row, "bank_account", None)
    return account.given_at.isoformat() if account else ""


class TransferForm(forms.Form):
    """The bank's reference of a transfer."""

    reference = forms.CharField(label=gettext_lazy("the bank's reference"), max_length=refund.REFERENCE_MAX)


class Transferred(RefundAction):
    """impossible or failed → transferred."""

    name = "transferred"
    title = gettext_lazy("I have transferred the money")
    state = RefundState.IMPOSSIBLE
    done_text = gettext_lazy("Noted. Another person has to confirm the transfer.")
    texts = (
        gettext_lazy("Transfer the money first. Then note the bank's reference here."),
        gettext_lazy("Another person has to confirm the transfer by the account statement."),
    )

    def is_available(self, row: Refund) -> bool:
        """For a refund that waits for a transfer, and for one that failed: a person may have refunded it elsewhere."""
        return row.state in {RefundState.IMPOSSIBLE, RefundState.FAILED}

    def consequences(self, rows: Sequence[Refund]) -> list[str]:
        """What will happen, and a warning if the last list for transfers does not have the buyer's account."""
        account = getattr(rows[0], "bank_account", None)
        texts = [*address_texts(rows[0]), *super().consequences(rows)]
        if rows[0].state == RefundState.FAILED:
            back = _(
                "If the provider's dashboard shows that the money is back already, note the reference of that refund."
            )
            return [back, *texts]
        if account is None:
            return [_("The buyer has given no bank account on our page."), *texts]
        if account.listed_at is None:
            late = _("The buyer gave or changed the bank account after the last list for transfers: make a new list.")
            return [late, *texts]
        return texts

    def build_form(self, rows: Sequence[Refund], data: Any) -> forms.Form:  # noqa: ARG002
        """The field for the reference."""
        return TransferForm(data)

    def perform(self, *, row: Refund, request: HttpRequest, data: dict[str, Any]) -> str:
        """Notes the transfer with its person."""
        return self.done(refund.transferred, row, reference=data["reference"], by=request.user)


class ConfirmTransfer(RefundAction):
    """transferred → confirmed, by a second person."""

    name = "confirm-transfer"
    title = gettext_lazy("Confirm the transfer")
    state = RefundState.TRANSFERRED
    done_text = gettext_lazy("The transfer is confirmed.")
    texts = (gettext_lazy("The account statement shows the transfer with this amount and reference."),)

    def consequences(self, rows: Sequence[Refund]) -> list[str]:
        """What the person confirms, and who has changed the buyer's address."""
        return [*address_texts(rows[0]), *super().consequences(rows)]

    def perform(self, *, row: Refund, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Refused to the person who made the transfer."""
        return self.done(refund.confirm_transfer, row, by=request.user, arrived=True)


class RejectTransfer(RefundAction):
    """transferred → impossible, by a second person; also when the bank sends a confirmed transfer back."""

    name = "reject-transfer"
    title = gettext_lazy("The transfer is not there")
    state = RefundState.TRANSFERRED
    done_text = gettext_lazy("The money has to be transferred again.")
    texts = (gettext_lazy("The account statement does not show the transfer. It has to be made again."),)

    def is_available(self, row: Refund) -> bool:
        """For a transfer, confirmed or not."""
        return row.state == RefundState.TRANSFERRED or (
            row.state == RefundState.CONFIRMED and row.transferred_by_id is not None
        )

    def consequences(self, rows: Sequence[Refund]) -> list[str]:
        """What will happen. The buyer of a confirmed transfer gets the letter again."""
        if rows[0].state == RefundState.CONFIRMED:
            return [
                _("The bank has sent the money back. It has to be transferred again."),
                _("The buyer gets the letter again that asks for a bank account, and can correct the account."),
            ]
        return super().consequences(rows)

    def perform(self, *, row: Refund, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Refused to the person who made the transfer."""
        return self.done(refund.confirm_transfer, row, by=request.user, arrived=False)


class SettleDoubt(Action):
    """A doubt about the money of a payment is settled with the provider."""

    name = "settle-doubt"
    needs_proof = True
    title = gettext_lazy("I have settled it with the provider")
    permission = RefundAction.permission

    def is_available(self, row: PaymentAttempt) -> bool:
        """For a payment that people have to settle."""
        return bool(row.doubt)

    def consequences(self, rows: Sequence[PaymentAttempt]) -> list[str]:  # noqa: ARG002
        """What will happen."""
        return [
            _(
                "Compare the payment in the provider's dashboard with its refunds here, and get back what is "
                "missing first."
            ),
            _("The payment leaves the list of money that waits. No money is moved by this."),
        ]

    def shown_values(self, row: PaymentAttempt) -> Any:
        """The doubt, and what came: the provider may say something new."""
        return [row.doubt, row.state, str(row.paid), row.paid_currency]

    def perform(self, *, row: PaymentAttempt, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Notes who has settled it."""
        if not stray_refunds.settle_doubt(attempt=row.pk, by=request.user):
            raise ValidationError(_("There is nothing to settle any more: nothing was changed."))
        return _("Noted. The payment has left the list.")


REFUND_ACTIONS = (SendNow(), ByHand(), Transferred(), ConfirmTransfer(), RejectTransfer())
