"""The jobs, by name. Each is a module with `row()`, a line of the table, and `run(workplace)`, which measures."""

from types import ModuleType

from jobs import (
    catalogue,
    cells,
    check,
    cold,
    crowd,
    durable,
    empty,
    first,
    further,
    installing,
    large,
    locks,
    memory,
    miss,
    startup,
    transfers,
    unpacking,
    upgrading,
    verification,
    warm,
)

JOBS: dict[str, ModuleType] = {
    "startup": startup,
    "miss": miss,
    "warm": warm,
    "verification": verification,
    "first": first,
    "empty": empty,
    "cold": cold,
    "cells": cells,
    "large": large,
    "locks": locks,
    "further": further,
    "installing": installing,
    "transfers": transfers,
    "unpacking": unpacking,
    "upgrading": upgrading,
    "check": check,
    "durable": durable,
    "catalogue": catalogue,
    "crowd": crowd,
    "memory": memory,
}
