"""Plan files: a campaign with its axes, channels, sales, offers, lines, units and lists, in one TOML file.

The file is the whole of what it has: a sale's offers and lines, a line's units and successor, a campaign's axes.
What it does not have stays: other channels and sales, and other fields.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from flashsale.life import plan_values
from flashsale.life.apply_plan import Applied, LineOf, lock_drafts
from flashsale.life.import_rows import bad_file_text, people_in
from flashsale.life.plan_values import Context, Fields, file_names
from flashsale.models import Allocation, Campaign, CampaignAxis, Channel, Offer, Sale
from flashsale.models.sale import LOBBY
from flashsale.rules.csv_rows import BadFile
from flashsale.rules.identity import Axis
from flashsale.rules.toml_lines import key_lines, line_of

BYTES_MAX = 1_000_000
_NUL = re.compile(r"\\u0{4}|\\U0{8}")
TABLES = {"campaign", "channel", "sale"}
AXIS_KINDS = ("hard enter", "hard confirm", "soft")


def apply_plan_file(*, data: bytes, folder: Path, dry_run: bool, by: Any = None) -> Applied:
    """Applies the text of a plan file. `folder` is where the lists are that it names. See :class:`Applied`."""
    applied = Applied()
    if len(data) > BYTES_MAX:
        applied.wrong(0, "", _("%(found)d bytes, %(most)d at most.") % {"found": len(data), "most": BYTES_MAX})
        return applied
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
        plan = tomllib.loads(text)
        if _NUL.search(text):
            raise ValueError(_("The file has the character NUL, which no field may have."))  # noqa: TRY301
    except ValueError as error:  # of TOML and of UTF-8, too
        applied.wrong(0, "", str(error))
        return applied
    reader = _PlanFile(plan, key_lines(text), folder, applied)
    with applied.transaction(dry_run=dry_run, by=by, campaign=lambda: reader.campaign):
        reader.apply()
    return applied


class _PlanFile:
    """One application of a file: reads all values first, so that all that cannot be read is named at once."""

    def __init__(self, plan: Mapping[str, Any], lines: Mapping[Any, int], folder: Path, applied: Applied) -> None:
        self.plan, self.lines, self.folder, self.applied = plan, lines, folder, applied
        self.campaign: Campaign | None = None

    def apply(self) -> None:
        """Reads everything. If all can be read, saves it in order: campaign, axes, channels, sales, carried lines."""
        self._unknown(self.plan, TABLES, ())
        head = self._table(("campaign",))
        if head is None:
            self.applied.wrong(1, "campaign", _("The file needs a table [campaign] with a code."))
            return
        known = Campaign.objects.filter(code=str(head.get("code")), sandbox_of=None).first()
        if known is not None:
            # In the order in which a publication takes these locks.
            lock_drafts(known)
            known = Campaign.objects.select_for_update(no_key=True).get(pk=known.pk)
        values = self._values(head, plan_values.CAMPAIGN, ("campaign",), Context(ZoneInfo("UTC"), ""), {"axes"})
        zone = ZoneInfo(values.get("time_zone") or (known or Campaign()).time_zone)
        context = Context(zone, values.get("currency") or (known or Campaign()).currency)
        axes = self._axes(head)
        channels = [
            self._values(table, plan_values.CHANNEL, path, context, set()) for path, table in self._list(("channel",))
        ]
        sales = [self._sale(table, path, context) for path, table in self._list(("sale",))]
        if self.applied.problems:
            return
        self.campaign = known or Campaign()
        title = _("campaign %(code)s") % {"code": values.get("code", "")}
        if not self._save(self.campaign, values, title, ("campaign",), plan_values.CAMPAIGN):
            return
        self._save_axes(axes)
        for index, fields in enumerate(channels):
            channel = self._row(Channel, {"campaign": self.campaign, "code": fields.get("code", "")})
            self._save(channel, fields, f"{_('channel')} {channel.code}", ("channel", index), plan_values.CHANNEL)
        for index, sale in enumerate(sales):
            self._save_sale(sale, ("sale", index))
        for index, sale in enumerate(sales):
            self._save_carried(sale, ("sale", index))

    # --- reading ---

    def _table(self, path: Sequence[Any]) -> Mapping[str, Any] | None:
        found = self.plan.get(str(path[0]))
        if found is not None and not isinstance(found, dict):
            self.applied.wrong(self._line(path), str(path[0]), _("Write a table: [%(name)s].") % {"name": path[0]})
            return None
        return found

    def _list(self, path: tuple[Any, ...], table: Any = None) -> list[tuple[tuple[Any, ...], Mapping[str, Any]]]:
        """The tables of a list with their paths."""
        name = path[-1]
        found = (self.plan if table is None else table).get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            dotted = ".".join(str(part) for part in path if isinstance(part, str))
            self.applied.wrong(
                self._line(path), str(name), _("Write a table for each: [[%(name)s]].") % {"name": dotted}
            )
            return []
        return [((*path, index), one) for index, one in enumerate(found)]

    def _line(self, path: Sequence[Any]) -> int:
        return line_of(self.lines, tuple(path))

    def _unknown(self, table: Mapping[str, Any], known: set[str], path: Sequence[Any]) -> None:
        for name in table:
            if name not in known:
                near = get_close_matches(name, known, 1)
                text = _("This word is not known. Known: %(known)s.") % {"known": ", ".join(sorted(known))}
                text = _("This word is not known. Do you mean %(near)s?") % {"near": near[0]} if near else text
                self.applied.wrong(self._line((*path, name)), name, text)

    def _values(
        self, table: Mapping[str, Any], fields: Fields, path: Sequence[Any], context: Context, more: set[str]
    ) -> dict[str, Any]:
        """The values by column. Times may be relative to the opening, which is read first."""
        self._unknown(table, {*fields, *more}, path)
        values: dict[str, Any] = {}
        for name, (column, reader) in fields.items():
            if name in table:
                try:
                    values[column] = plan_values.read(reader, table[name], context)
                except ValidationError as error:
                    self.applied.wrong(self._line((*path, name)), name, " ".join(error.messages))
            if column == "opens_at" and fields is plan_values.SALE:
                context = context.with_opening_of(values)
        return values

    def _axes(self, head: Mapping[str, Any]) -> dict[str, str] | None:
        axes = head.get("axes")
        if axes is None:
            return None
        for name, kind in axes.items() if isinstance(axes, dict) else [("axes", axes)]:
            if name not in set(Axis) or kind not in AXIS_KINDS:
                text = _("%(found)s: write an axis (%(axes)s) and how it counts: %(kinds)s.")
                known = {"axes": ", ".join(Axis), "kinds": ", ".join(AXIS_KINDS), "found": f"{name} = {kind}"[:60]}
                self.applied.wrong(self._line(("campaign", "axes", name)), name, text % known)
        return dict(axes) if isinstance(axes, dict) else None

    def _sale(self, table: Mapping[str, Any], path: tuple[Any, ...], context: Context) -> dict[str, Any]:
        """All values of a sale: `fields`, and if the file has them `offers` and `lines`."""
        known = Sale.objects.filter(code=str(table.get("code"))).first()
        context = context.opening(known.opens_at if known else None)
        fields = self._values(table, plan_values.SALE, path, context, {"offer", "line"})
        context = context.with_opening_of(fields)
        offers = [
            self._values(one, plan_values.OFFER, at, context, set()) for at, one in self._list((*path, "offer"), table)
        ]
        lines = [self._line_values(one, at, context) for at, one in self._list((*path, "line"), table)]
        return {
            "fields": fields,
            "offers": offers if "offer" in table else None,
            "lines": lines if "line" in table else None,
        }

    def _line_values(self, table: Mapping[str, Any], path: tuple[Any, ...], context: Context) -> dict[str, Any]:
        more = {"channels", "units", "list", "successor", "carries"}
        values: dict[str, Any] = {"fields": self._values(table, plan_values.LINE, path, context, more)}
        kinds: dict[str, tuple[type, str]] = {
            "channels": (list, _('Write a list of codes: ["lazada"].')),
            "units": (dict, _("Write units by SKU: { SKU = 500 }.")), "list": (str, _("Write the name of a CSV file.")),
            "successor": (str, _("Write the code of another line of this sale.")),
            "carries": (str, _("Write sale/line, such as 26-jan/lazada.")),
        }  # fmt: skip
        for name, (kind, text) in kinds.items():
            if name in table and not isinstance(table[name], kind):
                self.applied.wrong(self._line((*path, name)), name, text)
            elif name in table:
                values[name] = table[name]
        values["channels"] = [str(code) for code in values["channels"]] if "channels" in values else None
        for sku, count in values.get("units", {}).items():
            try:
                values["units"] = {**values["units"], sku: plan_values.read(plan_values.whole, count, context)}
            except ValidationError as error:
                self.applied.wrong(self._line((*path, "units", sku)), "units", " ".join(error.messages))
        if "list" in values:
            values["people"] = self._people(values["list"], self._line((*path, "list")))
        return values

    def _people(self, name: str, line: int) -> list[tuple[int, str, str]]:
        try:
            found = people_in((self.folder / name).read_bytes())
        except OSError as error:
            self.applied.wrong(line, "list", f"{name}: {error.strerror}")
        except BadFile as error:
            self.applied.wrong(line, "list", f"{name}: {bad_file_text(error)}")
        else:
            return found
        return []

    # --- saving ---

    def _line_of(self, path: Sequence[Any]) -> LineOf:
        return lambda name: self._line((*path, name) if name else path)

    def _save(self, row: Any, values: Mapping[str, Any], title: str, path: Sequence[Any], fields: Fields) -> bool:
        return self.applied.save(row, values, title, self._line_of(path), file_names(fields))

    @staticmethod
    def _row(model: Any, known: Mapping[str, Any]) -> Any:
        """The stored row with these values, or a new one."""
        return model.objects.filter(**known).first() or model(**known)

    def _save_axes(self, axes: Mapping[str, str] | None) -> None:
        if axes is None or self.campaign is None:
            return
        for name, kind in axes.items():
            hardness, _space, checked_at = kind.partition(" ")
            row = self._row(CampaignAxis, {"campaign": self.campaign, "axis": name})
            values = {"hard": hardness == "hard", "checked_at": checked_at or "confirm"}
            self.applied.save(row, values, f"{_('axis')} {name}", self._line_of(("campaign", "axes", name)))
        for row in self.campaign.axes.exclude(axis__in=axes):
            self.applied.remove(row, f"{_('axis')} {row.axis}", self._line(("campaign", "axes")))

    def _save_sale(self, sale: dict[str, Any], path: tuple[Any, ...]) -> None:
        fields, code = sale["fields"], str(sale["fields"].get("code", ""))
        row = Sale.objects.filter(code=code).first() or Sale(campaign=self.campaign, code=code)
        if row.campaign_id != (self.campaign and self.campaign.pk):
            self.applied.wrong(self._line((*path, "code")), "code", _("A sale of another campaign has this code."))
            return
        if not self._save(row, with_lobby(row, fields), f"{_('sale')} {code}", path, plan_values.SALE):
            return
        sale["row"] = row
        self._save_offers(row, sale["offers"], path)
        for index, line in enumerate(sale["lines"] or ()):
            self._save_line(row, line, (*path, "line", index))
        self._save_successors(row, sale, path)

    def _save_offers(self, sale: Sale, offers: Sequence[Mapping[str, Any]] | None, path: tuple[Any, ...]) -> None:
        for index, fields in enumerate(offers or ()):
            offer = self._row(Offer, {"sale": sale, "sku": fields.get("sku", "")})
            title = f"{_('offer')} {sale.code}/{offer.sku}"
            self._save(offer, fields, title, (*path, "offer", index), plan_values.OFFER)
        if offers is not None:
            for offer in sale.offers.exclude(sku__in=[fields.get("sku") for fields in offers]):
                self.applied.remove(offer, f"{_('offer')} {sale.code}/{offer.sku}", self._line(path))

    def _save_line(self, sale: Sale, values: dict[str, Any], path: tuple[Any, ...]) -> None:
        line = self._row(Allocation, {"sale": sale, "code": values["fields"].get("code", "")})
        title = f"{_('line')} {sale.code}/{line.code}"
        # A roll-over needs its successor, which may come later in the file.
        fields = {name: value for name, value in values["fields"].items() if name != "rolls_over_at"}
        if not self._save(line, fields, title, path, plan_values.LINE):
            return
        values["row"] = line
        if values["channels"] is not None:
            self.applied.channels(line, values["channels"], title, self._line((*path, "channels")))
        offers = {offer.sku: offer for offer in sale.offers.all()}
        for sku, count in values.get("units", {}).items():
            at = self._line((*path, "units", sku))
            if sku in offers:
                self.applied.units(line, offers[sku], count, lambda _name, at=at: at)  # type: ignore[misc]
            else:
                text = _("%(found)s: no offer of the sale. Known: %(known)s.")
                self.applied.wrong(at, "units", text % {"found": sku, "known": ", ".join(offers) or "–"})
        if "units" in values:
            for stock in line.stock.exclude(offer__sku__in=values["units"]):
                self.applied.remove(stock, f"{title}: {stock}", self._line((*path, "units")))
        if "people" in values:
            at, begin = self._line((*path, "list")), _("%(file)s, row %(row)d: ")
            self.applied.people(
                line, values["people"], title, lambda row: (at, begin % {"file": values["list"], "row": row})
            )

    def _save_successors(self, sale: Sale, values: dict[str, Any], path: tuple[Any, ...]) -> None:
        lines = {line.code: line for line in sale.allocations.all()}
        for index, planned in enumerate(values["lines"] or ()):
            line = planned.get("row")
            if line is None:
                continue
            successor = lines.get(planned.get("successor", ""))
            at = (*path, "line", index)
            if "successor" in planned and successor is None:
                self.applied.wrong(
                    self._line((*at, "successor")), "successor", _("Write the code of another line of this sale.")
                )
                continue
            fields = {"successor": successor, "rolls_over_at": planned["fields"].get("rolls_over_at")}
            self._save(line, fields, f"{_('line')} {sale.code}/{line.code}", at, plan_values.LINE)
        if values["lines"] is not None:
            for line in sale.allocations.exclude(
                code__in=[planned["fields"].get("code") for planned in values["lines"]]
            ):
                self.applied.remove(line, f"{_('line')} {sale.code}/{line.code}", self._line(path))

    def _save_carried(self, sale: dict[str, Any], path: tuple[Any, ...]) -> None:
        for index, planned in enumerate(sale["lines"] or ()):
            line = planned.get("row")
            if line is None or "carries" not in planned:
                continue
            at = (*path, "line", index)
            code, _slash, name = planned["carries"].partition("/")
            old = Allocation.objects.filter(sale__campaign=self.campaign, sale__code=code, code=name).first()
            if old is None:
                text = _("%(found)s: no line of a sale of this campaign. Write sale/line, such as 26-jan/lazada.")
                self.applied.wrong(self._line((*at, "carries")), "carries", text % {"found": planned["carries"][:60]})
                continue
            self._save(line, {"carries": old}, f"{_('line')} {line.sale.code}/{line.code}", at, plan_values.LINE)


def with_lobby(sale: Sale, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with a lobby that follows the opening, if it was 24 hours before and nothing else is said."""
    found = dict(values)
    opens_at = found.get("opens_at")
    if sale.pk and opens_at and "lobby_at" not in found and sale.lobby_at == sale.opens_at - LOBBY:
        found["lobby_at"] = opens_at - timedelta(hours=24)
    return found
