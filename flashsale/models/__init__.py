"""The tables of PostgreSQL (the books): facts that are kept for ever.

One noun a file. Constraints refuse rows that contradict each other, whatever the code above does.
"""

from flashsale.models.alarm import Alarm, AlarmMessage
from flashsale.models.allocation import Allocation
from flashsale.models.api_call import ApiCall
from flashsale.models.appeal import Appeal
from flashsale.models.bank_account import BankAccount
from flashsale.models.calendar_link import CalendarLink
from flashsale.models.campaign import Campaign, CampaignAxis, Channel
from flashsale.models.cancellation import Cancellation
from flashsale.models.case import Case, CaseNote, CaseView
from flashsale.models.checkout_pass import CheckoutPass
from flashsale.models.contact import Contact
from flashsale.models.crowd_backup import CrowdBackup
from flashsale.models.demo_charge import DemoCharge
from flashsale.models.entries import Entries, EntriesTile
from flashsale.models.event import Event
from flashsale.models.fairness_report import FairnessReport
from flashsale.models.limit_slot import LimitSlot, UnpaidHold
from flashsale.models.list_entry import ListEntry
from flashsale.models.listed_value import ListedValue
from flashsale.models.notice import Notice
from flashsale.models.offer import Offer
from flashsale.models.partner_key import PartnerKey
from flashsale.models.payment import Inbox, PaymentAttempt, Refund
from flashsale.models.person_request import PersonRequest, Restriction, TrailKey
from flashsale.models.proposal import Proposal
from flashsale.models.reallocation import Move, Reallocation
from flashsale.models.record import Record
from flashsale.models.rehearsal import Rehearsal
from flashsale.models.reservation import Reservation, ReservationUnit, Trait
from flashsale.models.review_run import ReviewRun
from flashsale.models.ring_order import RingOrder
from flashsale.models.rule_set import PublishedRuleSet, RuleSetChanged
from flashsale.models.sale import Clock, Sale
from flashsale.models.sale_sample import SaleCheck, SaleSample
from flashsale.models.sandbox_call import SandboxCall
from flashsale.models.settlement import Settlement, SettlementDay, SettlementLine
from flashsale.models.staff import StaffAccount, StaffCampaign
from flashsale.models.stock import Stock
from flashsale.models.unit import Unit
from flashsale.models.webhook import Delivery, Webhook

__all__ = [
    "Alarm",
    "AlarmMessage",
    "Allocation",
    "ApiCall",
    "Appeal",
    "BankAccount",
    "CalendarLink",
    "Campaign",
    "CampaignAxis",
    "Cancellation",
    "Case",
    "CaseNote",
    "CaseView",
    "Channel",
    "CheckoutPass",
    "Clock",
    "Contact",
    "CrowdBackup",
    "Delivery",
    "DemoCharge",
    "Entries",
    "EntriesTile",
    "Event",
    "FairnessReport",
    "Inbox",
    "LimitSlot",
    "ListEntry",
    "ListedValue",
    "Move",
    "Notice",
    "Offer",
    "PartnerKey",
    "PaymentAttempt",
    "PersonRequest",
    "Proposal",
    "PublishedRuleSet",
    "Reallocation",
    "Record",
    "Refund",
    "Rehearsal",
    "Reservation",
    "ReservationUnit",
    "Restriction",
    "ReviewRun",
    "RingOrder",
    "RuleSetChanged",
    "Sale",
    "SaleCheck",
    "SaleSample",
    "SandboxCall",
    "Settlement",
    "SettlementDay",
    "SettlementLine",
    "StaffAccount",
    "StaffCampaign",
    "Stock",
    "TrailKey",
    "Trait",
    "Unit",
    "UnpaidHold",
    "Webhook",
]
