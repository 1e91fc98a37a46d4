"""Flash sales in which the limit per person is enforced before units are sold, and in which anyone can check the line.

The steps in the life of a sale. Each step is one file in `life/`:

    schedule -> enter -> draw -> tick -> reserve -> confirm -> review -> cancel -> reallocate -> (a follow-up sale)

The floors. The code of a floor may use the floors below it, and never a floor above it:

    4  web, admin, tasks, management           receive requests and commands, and translate the answers
    3  life                                    the steps; the only floor that uses both Redis and PostgreSQL
    2  gate | books, models, then providers    gate = Redis: what is true this second
                                               books, models = PostgreSQL: what stays true
    1  rules                                   pure Python: uses neither
"""
