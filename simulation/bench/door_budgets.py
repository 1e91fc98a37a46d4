"""The budgets of the hot door: CPU of each verb relative to an empty answer, rate relative to plain Django."""

from collections.abc import Collection
from dataclasses import dataclass
from statistics import fmean

from flashsale.gate import bridge
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules.tokens import Place
from simulation.bench import doors, fixtures
from simulation.bench.doors import Cost, Server
from simulation.bench.figures import Figure, at_least, at_most
from simulation.isolated_servers import IsolatedServers

NAMES = ("enter", "status", "look", "refused", "won", "control")
SECONDS = 4.0
ENTERS, LOOKERS = 60_000, 4_000
PEOPLE = {"refused": 24_000, "won": 16_000, "control": 4_000}


@dataclass(frozen=True, slots=True)
class PreparedSales:
    """Two prepared sales: one in its lobby, and one open.

    The open sale has a line with enough units, a line whose units are gone, and a line for the control.
    """

    lobby: SaleCard
    lobby_key: str
    open: SaleCard
    keys: dict[str, str]
    entered: dict[str, list[Place]]

    def line(self, code: str) -> LineCard:
        """A line of the open sale, by its code."""
        return fixtures.line_of(self.open, code)


def measure(servers: IsolatedServers, names: Collection[str]) -> list[Figure]:
    """Measures the verbs in `names`, and the controls."""
    prepared = _prepare(names)
    with doors.doors(servers) as server:
        empty_costs = [server.cost([doors.get("/empty")], seconds=SECONDS, expect=200)]
        costs = {name: _cost(server, prepared, name) for name in NAMES[:-1] if name in names}
        empty_costs.append(server.cost([doors.get("/empty")], seconds=SECONDS, expect=200))
    with doors.control(servers) as plain:
        bare = plain.cost([doors.get("/bare")], seconds=SECONDS, expect=200)
        control = _control(plain, prepared) if "control" in names else None
    return [*_baseline(empty_costs, bare), *_verbs(costs, fmean(e.micros for e in empty_costs), bare, control)]


def _prepare(names: Collection[str]) -> PreparedSales:
    people = {name: count for name, count in PEOPLE.items() if name in names}
    units = {**people, "refused": 1} if "refused" in people else people or {"won": 1}
    where, other = fixtures.campaign(["lobby"]), fixtures.campaign(list(units))
    lobby = fixtures.sale(where, units={"lobby": 1}, max_entries=1_000_000)
    opened = fixtures.sale(other, units=units)
    entered = {name: doors.waiting(opened, fixtures.line_of(opened, name), count) for name, count in people.items()}
    entered["lobby"] = doors.waiting(lobby, fixtures.line_of(lobby, "lobby"), LOOKERS)
    opened = bridge.run(fixtures.open_now(opened))
    for name in people:
        bridge.run(fixtures.call_all(opened, fixtures.line_of(opened, name)))
    keys = {name: fixtures.key_of(other, name) for name in people}
    return PreparedSales(lobby, fixtures.key_of(where, "lobby"), opened, keys, entered)


def _cost(server: Server, prepared: PreparedSales, name: str) -> Cost:
    lobby = fixtures.line_of(prepared.lobby, "lobby")
    if name == "enter":
        requests = doors.enters(prepared.lobby, lobby, prepared.lobby_key, most=ENTERS)
        return server.cost(requests, seconds=SECONDS, expect=201)
    if name == "status":
        return server.cost([doors.get(doors.path_of(prepared.lobby, lobby, "status"))], seconds=SECONDS, expect=200)
    if name == "look":
        requests = doors.looks(prepared.lobby, lobby, prepared.lobby_key, prepared.entered["lobby"])
        return server.cost(requests, seconds=SECONDS, expect=200)
    requests = doors.reserves(prepared.open, prepared.line(name), prepared.keys[name], prepared.entered[name])
    return server.cost(requests, seconds=SECONDS, expect=201 if name == "won" else 409)


def _control(plain: Server, prepared: PreparedSales) -> Cost:
    requests = doors.control_reserves(prepared.line("control"), prepared.keys["control"], prepared.entered["control"])
    return plain.cost(requests, seconds=SECONDS, expect=201)


def _baseline(empty_costs: list[Cost], bare: Cost) -> list[Figure]:
    return [
        *(
            Figure("controls", f"empty answer, {when}", cost.micros, "µs CPU", note=cost.summary())
            for when, cost in zip(("before", "after"), empty_costs, strict=True)
        ),
        Figure("controls", "bare Django view (WSGI, 2 workers)", bare.micros, "µs CPU", note=bare.summary()),
    ]


@dataclass(frozen=True, slots=True)
class Budget:
    """The highest CPU, as a multiple of an empty answer; the lowest rate, as a multiple of a bare Django view."""

    title: str
    cpu: float | None = None
    rate: float | None = None


BUDGETS = {
    "enter": Budget("enter", cpu=4.0, rate=0.8),
    "status": Budget("status, from the door", rate=1.2),
    "look": Budget("look"),
    "refused": Budget("reserve that does not win (sold out)", cpu=2.2),
    "won": Budget("reserve that wins, committed", cpu=4.0, rate=0.5),
}


def _verbs(costs: dict[str, Cost], empty: float, bare: Cost, control: Cost | None) -> list[Figure]:
    figures = [*(_cpu(BUDGETS[name], cost, empty) for name, cost in costs.items())]
    figures += [_rate(BUDGETS[name], cost, bare) for name, cost in costs.items()]
    if "won" in costs:
        books = costs["won"].books_micros
        figures.append(Figure("reserve that wins", "PostgreSQL's own CPU", books, "µs CPU"))
    if control is not None:
        figures += _beside_control(costs.get("won"), control)
    return figures


def _cpu(budget: Budget, cost: Cost, empty: float) -> Figure:
    group, value, count = "CPU relative to an empty answer", cost.micros / empty, cost.load_result.count
    split = f"door {cost.server_s / count * 1e6:.0f} + Redis {cost.redis_s / count * 1e6:.0f} µs"
    if budget.cpu is None:
        return Figure(group, budget.title, value, "×", note=split)
    return at_most(group, budget.title, value, unit="×", limit=budget.cpu, note=split)


def _rate(budget: Budget, cost: Cost, bare: Cost) -> Figure:
    group, value = "rate relative to a bare Django view", cost.rate / bare.rate
    if budget.rate is None:
        return Figure(group, budget.title, value, "×", note=cost.summary())
    return at_least(group, budget.title, value, unit="×", limit=budget.rate, note=cost.summary())


def _beside_control(won: Cost | None, control: Cost) -> list[Figure]:
    group, note = "reserve that wins", f"{control.summary()}; PostgreSQL {control.books_micros:.0f} µs"
    figures = [Figure(group, "the same as a plain DRF view", control.micros, "µs CPU", note=note)]
    if won is not None:
        figures.append(
            at_least(group, "CPU of the plain view relative to ours", control.micros / won.micros, unit="×", limit=8)
        )
        with_books = (control.micros + control.books_micros) / (won.micros + won.books_micros)
        figures.append(Figure(group, "the same with PostgreSQL's CPU", with_books, "×"))
    return figures
