"""The review of orders after a sale, in pure Python.

rule_set.py   the published numbers: what links orders, how many points each fact gives, the threshold
clues.py      finds the values that orders have in common: the same house, similar names, phone numbers in a row
suspicion.py  links orders into groups by these values and gives each order a score from 0 to 100
"""
