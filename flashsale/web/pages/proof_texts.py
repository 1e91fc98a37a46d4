"""What the proof page says about each check: for check.js and proof.js, which fill in {name}."""

from typing import Any

from django.utils.translation import gettext as _

from flashsale.rules.identity import Axis


def axis(name: str) -> str:
    """What a person has proved, as a receipt names it."""
    return {Axis.PHONE: _("Mobile phone"), Axis.EMAIL: _("E-mail")}.get(Axis(name), name)


def script() -> dict[str, Any]:
    """The texts of proof.js. `checks`: the title of each check, and what it means that it is true, false, or open."""
    return {
        "checks": _of_the_draw() | _of_the_beacon() | _of_the_receipt(),
        "words": {"true": _("true"), "false": _("NOT true"), "null": _("not checked here")},
        "verdicts": {
            "busy": _("Checking…"),
            "true": _("All that this browser could check is true."),
            "false": _("Something is NOT true. Keep this page and your receipt, and show them to other people."),
            "unusable": _(
                "This is not a receipt. Paste the whole text, from the first to the last curly bracket, or its link."
            ),
            "unreachable": _("The data did not come from the server. Nothing is checked. Try again in a minute."),
        },
    }


def _of_the_draw() -> dict[str, list[str]]:
    return {
        "undrawn": [
            _("The numbers"), "", "",
            _("They are not drawn yet. Come back after the draw to check the order."),
        ],
        "file": [
            _("The file of the draw"), "",
            _("It is NOT a transcript of this sale that all programs read in the same way. Nothing in it is checked."),
        ],
        "secret": [
            _("The secret"),
            _("It fits the fingerprint that was published before. So it was not changed after people entered."),
            _("It does NOT fit the fingerprint that was published before. The order may be made up."),
        ],
        "kind": [
            _("The kind of the draw"),
            _("It is the one that was announced."),
            _("It is NOT the one that was announced."),
        ],
        "counts": [
            _("The tickets"),
            _("The counts add up to {total} tickets. {gone} of them had left or were taken out before the draw. "
              "{never} were never given to a person."),
            _("The counts or the fingerprint of the tickets are NOT those that were published. Look at: {lines}"),
        ],
        "seen": [
            _("The tickets before the draw"),
            _("This browser saw the same fingerprint of the tickets before any number was known."),
            _("This browser saw ANOTHER fingerprint of the tickets before the numbers were known. "
              "Tickets were changed."),
            _("This browser did not see the fingerprint of the tickets before the draw. "
              "Compare with a person who did."),
        ],
        "all": [
            _("All tickets"),
            _("The marks of all {total} tickets give the fingerprints above. So no ticket is missing or added."),
            _("The marks of all tickets do NOT give the fingerprints above. Look at: {lines}"),
            _("The marks of {total} tickets are deleted, or too many for this page. "
              "The script can check more: see below."),
        ],
        "seeds": [
            _("The order of the lines"),
            _("It follows from the above. Lines checked: {count}"),
            _("It does NOT follow from the above. Look at: {lines}"),
        ],
    }  # fmt: skip


def _of_the_beacon() -> dict[str, list[str]]:
    return {
        "freeze": [
            _("The time of the freeze"), "",
            _("It is NOT the one that was published."),
        ],
        "round": [
            _("The round of drand"),
            _("Round {round} follows from the time at which the tickets were fixed. We could not choose it."),
            _("Round {round} does NOT follow from the time at which the tickets were fixed. It may have been chosen."),
        ],
        "random": [
            _("The public randomness"),
            _("It follows from the signature of drand."),
            _("It does NOT follow from the signature of drand."),
        ],
        "chain": [
            _("The source of the randomness"), "", "",
            _("It is NOT drand's public chain, but {chain}. People who have its key know the rounds before they come."),
        ],
        "signature": [
            _("The signature of drand"), "", "",
            _("A browser cannot check it. Compare round {round} with what drand itself shows, "
              "or use the script: see below."),
        ],
    }  # fmt: skip


def _of_the_receipt() -> dict[str, list[str]]:
    return {
        "no-receipt": [
            _("Your receipt"), "", "",
            _("There is none here. Use the browser with which you entered, or paste a receipt below."),
        ],
        "sale": [
            _("Your receipt"),
            _("It is of this sale: line {line}, ticket {index}."),
            _("It is of another sale, or of a line that this sale does not have."),
        ],
        "signed": [
            _("Our signature"),
            _("It fits this receipt and our public key. So we cannot deny that we gave you the ticket."),
            _("This receipt does NOT have our signature. It was changed, or it is not ours."),
            _("This browser does not know this kind of signature (Ed25519). Use a newer one or the script: see below."),
        ],
        "counted": [
            _("Your ticket in the draw"),
            _("Ticket {index} took part in the draw of {cohort} tickets."), "",
        ],
        "late": [
            _("Your ticket in the draw"),
            _("Ticket {index} came after the draw, so its number is behind those of the {cohort} tickets."), "",
        ],
        "left-out": [
            _("Your ticket in the draw"), "",
            _("Ticket {index} was given before the draw, but only {cohort} tickets took part. It was left out."),
        ],
        "included": [
            _("Your ticket among those fixed before"),
            _("Ticket {index} is among the tickets that were fixed before the draw, as your receipt says."),
            _("Your ticket is NOT among those that were fixed before the draw. It was changed or taken out."),
        ],
        "gone": [
            _("Your ticket among those fixed before"), "", "",
            _("Ticket {index} is there, marked as left or taken out before the draw. If you did not leave, ask us."),
        ],
        "no-proof": [
            _("Your ticket among those fixed before"), "", "",
            _("This receipt is from before the draw. Get it again to check this."),
        ],
        "number": [
            _("Your number"),
            _("Number {number} follows from ticket {index}. The waiting page must show the same number."), "",
        ],
    }  # fmt: skip
