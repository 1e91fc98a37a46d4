"""The review of orders after a sale, in pure Python.

suspicion.py   scores orders by a rule set of either generation
findings.py    what a review reads about an order, and what it finds
clues.py       finds the values that orders have in common: the same house, similar names, phone numbers in a row
chance.py      which payment cards strangers may have in common by chance

first generation
rule_set.py    the published numbers: what links orders, how many points each fact gives, the threshold
links.py       links orders into groups by these values, and gives each order a score from 0 to 100

second generation
fact_rules.py  the published numbers: what each fact of a group is worth
surprise/      scores a group by how unlikely strangers of the same sale have so much in common
"""
