"""The steps in the life of a sale, one verb in each file:
schedule → enter → draw → tick (which calls people) → reserve → confirm → review → cancel → reallocate (→ schedule …).

The gate (Redis) decides, the books (PostgreSQL) remember, and the rules use neither. Only this package uses both.
Taking changes the gate first and the books second. Giving back changes the books first and the gate second. So the gate
never offers more than the books have. The verbs of the crowd (enter, look, leave, extra_time, status) do not read or
write PostgreSQL.
"""
