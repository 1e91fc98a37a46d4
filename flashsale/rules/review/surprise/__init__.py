"""Scores orders by surprise: the second generation of rule sets.

people.py     what is known about each buyer, and how often the sale has each value
mailboxes.py  mailboxes that do not look like a person's
groups.py     the groups of people that are worth a look: who shares what
facts.py      what a group has in common, in tenfold surprise against this sale
scoring.py    adds the facts up, decides who belongs to a group, and gives each order its score
"""
