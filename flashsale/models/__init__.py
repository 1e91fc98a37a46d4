"""The books: what is true for ever. One noun a file; the tables themselves refuse what must not be."""

from flashsale.models.allocation import Allocation, Listed, Offer, Remembered, Stock
from flashsale.models.api_call import ApiCall
from flashsale.models.campaign import Campaign, CampaignAxis, Channel
from flashsale.models.case import Appeal, Cancellation, Case, Notice, Opened, ReviewRun
from flashsale.models.demo_charge import DemoCharge
from flashsale.models.fairness_report import FairnessReport
from flashsale.models.partner_key import PartnerKey
from flashsale.models.record import Record
from flashsale.models.reservation import Claim, Contact, Holding, Payment, Reservation, Trait, Unpaid
from flashsale.models.rule_set import Rules, RulesChanged
from flashsale.models.sale import Clock, Sale
from flashsale.models.unit import Move, Reallocation, Unit

__all__ = [
    "Allocation",
    "ApiCall",
    "Appeal",
    "Campaign",
    "CampaignAxis",
    "Cancellation",
    "Case",
    "Channel",
    "Claim",
    "Clock",
    "Contact",
    "DemoCharge",
    "FairnessReport",
    "Holding",
    "Listed",
    "Move",
    "Notice",
    "Offer",
    "Opened",
    "PartnerKey",
    "Payment",
    "Reallocation",
    "Record",
    "Remembered",
    "Reservation",
    "ReviewRun",
    "Rules",
    "RulesChanged",
    "Sale",
    "Stock",
    "Trait",
    "Unit",
    "Unpaid",
]
