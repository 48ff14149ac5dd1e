"""The jobs, by name. Each is a module with `row()`, the line of the table, and `run(workplace)`, which fills it."""

from types import ModuleType

from jobs import cells, cold, large, many, miss, startup, warm

JOBS: dict[str, ModuleType] = {
    "startup": startup,
    "warm": warm,
    "miss": miss,
    "cold": cold,
    "cells": cells,
    "large": large,
    "many": many,
}
