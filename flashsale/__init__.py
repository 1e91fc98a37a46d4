"""Flash sales in which the limit holds before the sale, and anyone can check the line.

The life of a sale, step by step; each step is one file in `life/`:

    schedule -> enter -> draw -> admit -> reserve -> confirm -> review -> cancel -> reallocate -> (a follow-up sale)

The floors; each knows those below it and none above:

    4  web, admin, tasks, management, stage    doors translate
    3  life                                    only the life knows both gate and books
    2  gate | models, then providers           Redis: what is true this second | PostgreSQL: what is true for ever
    1  rules                                   know neither
"""
