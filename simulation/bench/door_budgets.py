"""The budgets of the doors: what each verb costs beside an empty answer, and how fast it is beside plain Django."""

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
    """Two sales: one in its lobby, and one open with lines where units are plenty, gone, and sold by the control."""

    lobby: SaleCard
    lobby_key: str
    open: SaleCard
    keys: dict[str, str]
    entered: dict[str, list[Place]]

    def line(self, code: str) -> LineCard:
        """A line of the open sale."""
        return fixtures.line_of(self.open, code)


def measure(servers: IsolatedServers, wanted: Collection[str]) -> list[Figure]:
    """The figures of the verbs that are wanted."""
    prepared = _prepare(wanted)
    with doors.doors(servers) as server:
        empties = [server.cost([doors.get("/empty")], seconds=SECONDS, expect=200)]
        costs = {name: _cost(server, prepared, name) for name in NAMES[:-1] if name in wanted}
        empties.append(server.cost([doors.get("/empty")], seconds=SECONDS, expect=200))
    with doors.control(servers) as plain:
        bare = plain.cost([doors.get("/bare")], seconds=SECONDS, expect=200)
        control = _control(plain, prepared) if "control" in wanted else None
    return [*_baseline(empties, bare), *_verbs(costs, fmean(e.micros for e in empties), bare, control)]


def _prepare(wanted: Collection[str]) -> PreparedSales:
    people = {name: count for name, count in PEOPLE.items() if name in wanted}
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
        wishes = doors.enters(prepared.lobby, lobby, prepared.lobby_key, most=ENTERS)
        return server.cost(wishes, seconds=SECONDS, expect=201)
    if name == "status":
        return server.cost([doors.get(doors.path_of(prepared.lobby, lobby, "status"))], seconds=SECONDS, expect=200)
    if name == "look":
        wishes = doors.looks(prepared.lobby, lobby, prepared.lobby_key, prepared.entered["lobby"])
        return server.cost(wishes, seconds=SECONDS, expect=200)
    wishes = doors.reserves(prepared.open, prepared.line(name), prepared.keys[name], prepared.entered[name])
    return server.cost(wishes, seconds=SECONDS, expect=201 if name == "won" else 409)


def _control(plain: Server, prepared: PreparedSales) -> Cost:
    wishes = doors.control_reserves(prepared.line("control"), prepared.keys["control"], prepared.entered["control"])
    return plain.cost(wishes, seconds=SECONDS, expect=201)


def _baseline(empties: list[Cost], bare: Cost) -> list[Figure]:
    return [
        *(
            Figure("controls", f"empty answer, {when}", cost.micros, "µs CPU", note=cost.summary())
            for when, cost in zip(("before", "after"), empties, strict=True)
        ),
        Figure("controls", "bare Django view (WSGI, 2 workers)", bare.micros, "µs CPU", note=bare.summary()),
    ]


@dataclass(frozen=True, slots=True)
class Budget:
    """CPU as a multiple of an empty answer at most, rate as a multiple of a bare Django view at least."""

    words: str
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
    group, value, count = "CPU beside an empty answer", cost.micros / empty, cost.load_result.count
    split = f"door {cost.server_s / count * 1e6:.0f} + Redis {cost.redis_s / count * 1e6:.0f} µs"
    if budget.cpu is None:
        return Figure(group, budget.words, value, "×", note=split)
    return at_most(group, budget.words, value, unit="×", limit=budget.cpu, note=split)


def _rate(budget: Budget, cost: Cost, bare: Cost) -> Figure:
    group, value = "rate beside a bare Django view", cost.rate / bare.rate
    if budget.rate is None:
        return Figure(group, budget.words, value, "×", note=cost.summary())
    return at_least(group, budget.words, value, unit="×", limit=budget.rate, note=cost.summary())


def _beside_control(won: Cost | None, control: Cost) -> list[Figure]:
    group, note = "reserve that wins", f"{control.summary()}; PostgreSQL {control.books_micros:.0f} µs"
    figures = [Figure(group, "the same as a plain DRF view", control.micros, "µs CPU", note=note)]
    if won is not None:
        figures.append(
            at_least(group, "CPU of the plain view beside ours", control.micros / won.micros, unit="×", limit=8)
        )
        with_books = (control.micros + control.books_micros) / (won.micros + won.books_micros)
        figures.append(Figure(group, "the same with PostgreSQL's CPU", with_books, "×"))
    return figures
