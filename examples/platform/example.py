"""Prices as a table."""

from tabulate import tabulate

prices = {"apples": 1.2, "pears": 2.5, "plums": 3.1}
print(tabulate(prices.items(), headers=["fruit", "euros"]))
