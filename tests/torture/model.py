"""A model of the cache, in plain dictionaries, and random steps that both have to agree on.

Steps: publish, import, upgrade, rollback, prune, damage, going offline and back. Each step is a fresh process; what it
imports has to be of the version that the model says, byte for byte.

The model of one mount:

    shown     the version that the site's manifest has
    known     the version of the newest manifest that the cache has seen
    maybe     versions that it has perhaps seen since: a rollback to what was pruned asks the site for it
    chain     generations, newest last: what is active, and what this one moved (with what was before)
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trials
from child import Child, Wrong, judge
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from mutate import Mutator
from sites import Site, right_answers

VERSIONS = tuple(range(1, 7))
UNITS = ("alpha", "base", "tool", "late")
CLOSURE = {"alpha": ("alpha",), "base": ("base",), "tool": ("tool", "base"), "late": ("late",)}
REQUIRED_BY = {"base": ("tool",)}

LENGTH = 50
"""Steps with one cache."""

units = st.sampled_from(UNITS)


@dataclass
class Generation:
    active: dict[str, int]
    moved: dict[str, int | None] = field(default_factory=dict)
    parent: Generation | None = None
    pruned: bool = False


class Machine(RuleBasedStateMachine):
    """One cache and its model; the class's fields are set by `run`."""

    folder: Path
    child: Child
    site: Site
    right: dict[str, dict[str, str]]
    steps = 0
    caches = 0

    def __init__(self) -> None:
        super().__init__()
        Machine.caches += 1
        self.cache = self.folder / f"cache-{Machine.caches}"
        self.marker = self.folder / "marker"
        self.shown = 1
        self.site.show(1)
        self.known: int | None = None
        self.maybe: set[int] = set()
        self.current = Generation({})
        self.offline = False
        self.suspect = False

    def teardown(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)

    def act(self, *actions: str) -> list[Any]:
        Machine.steps += 1
        environment = {"MAGIC_MODULE_OFFLINE": "1"} if self.offline else {}
        answers = self.child.run(self.cache, self.site.url, *actions, **environment).answers
        if self.marker.exists():
            raise Wrong("planted code ran")
        return answers

    # What the model says.

    def activate(self, name: str) -> None:
        """A unit is used for the first time: its closure, as the known manifest has it."""
        assert self.known is not None
        entries = dict.fromkeys(CLOSURE[name], self.known)
        active = self.current.active
        if any(active.get(member, version) != version for member, version in entries.items()):
            self.switch(dict(entries.items()))
        else:
            active.update(entries)

    def switch(self, moves: dict[str, int]) -> None:
        before = self.current
        moved = {name: before.active.get(name) for name in moves}
        parent = before if before.active else None
        self.current = Generation(before.active | moves, moved if parent else {}, parent)

    # The steps.

    @precondition(lambda self: self.shown < VERSIONS[-1])
    @rule()
    def publish(self) -> None:
        Machine.steps += 1
        self.shown += 1
        self.site.show(self.shown)

    @rule(offline=st.booleans())
    def network(self, offline: bool) -> None:
        self.offline = offline

    @rule(name=units)
    def use(self, name: str) -> None:
        (report,) = self.act(f"import:{name}")
        version = self.current.active.get(name)
        if self.offline and (self.suspect or version is None or name == "late"):
            # What is not here cannot be had; what is said about it is the right kind of error.
            if judge(report, self.right, self.versions(name), errors=("OfflineError", "IntegrityError")):
                return
        elif version is None and self.known is None:
            self.known = self.shown
        judge(report, self.right, self.versions(name))
        if version is None:
            self.known = int(float(report[name]["version"]))
            self.maybe = {maybe for maybe in self.maybe if maybe > self.known}
            self.activate(name)

    def versions(self, name: str) -> list[str]:
        version = self.current.active.get(name)
        return [f"{each}.0" for each in ({self.known, *self.maybe} if version is None else {version})]

    @precondition(lambda self: not self.offline and self.known is not None)
    @rule(names=st.sets(units, min_size=1))
    def upgrade(self, names: set[str]) -> None:
        (answer,) = self.act(f"upgrade:{','.join(sorted(names))}")
        if isinstance(answer, dict):
            raise Wrong(f"upgrade: {answer}")
        self.known, self.maybe = self.shown, set()
        members = {member for name in names for member in CLOSURE[name]}
        for member in list(members):
            if self.current.active.get(member) != self.known:
                dependents = {name for name in REQUIRED_BY.get(member, ()) if name in self.current.active}
                members |= {more for name in dependents for more in CLOSURE[name]}
        moves = {name: self.shown for name in members if self.current.active.get(name) != self.shown}
        if {name: f"{version}.0" for name, version in moves.items()} != {
            name.removeprefix("acme."): version for name, version in answer if name.removeprefix("acme.") in moves
        }:
            raise Wrong(f"upgrade of {sorted(names)} did {answer}, not {moves}")
        if moves:
            self.switch(moves)

    @precondition(lambda self: not self.offline and self.known is not None)
    @rule(name=units)
    def rollback(self, name: str) -> None:
        (answer,) = self.act(f"rollback:{name}")
        step: Generation | None = self.current
        while step is not None and name not in step.moved:
            step = step.parent if step.parent and not step.parent.pruned else None
        if step is None or step.parent is None:
            return
        if step.parent.pruned:
            self.maybe.add(self.shown)
        if isinstance(answer, dict):
            if step.parent.pruned and "is no longer in the cache" in answer["text"]:
                return
            raise Wrong(f"rollback: {answer}")
        before_step = {} if step.parent.pruned else step.parent.active
        active = dict(self.current.active)
        undone = dict(step.moved)
        for moved in step.moved:
            # What came to require it since then goes back to what it was at that time.
            for dependent in REQUIRED_BY.get(moved, ()):
                if dependent in active and dependent not in undone:
                    undone[dependent] = before_step.get(dependent)
        for member, before in undone.items():
            if before is None:
                active.pop(member, None)
            else:
                active[member] = before
        self.current = Generation(active, {}, step.parent)

    @precondition(lambda self: self.known is not None)
    @rule()
    def prune(self) -> None:
        (answer,) = self.act("prune")
        if isinstance(answer, dict):
            raise Wrong(f"prune: {answer}")
        # The current and the previous generation stay; what came before them is forgotten.
        previous = self.current.parent
        if previous is not None and previous.parent is not None:
            previous.parent.pruned = True

    @precondition(lambda self: self.known is not None)
    @rule(number=st.integers(0, 2**32))
    def damage(self, number: int) -> None:
        Machine.steps += 1
        mutator = Mutator(self.cache, self.marker, random.Random(number))
        # Which generation is active is the model's to say; files and code are the cache's to heal.
        mutator.only = ("trees", "code")
        mutator.step()
        self.suspect = True

    @precondition(lambda self: not self.offline and self.suspect)
    @rule()
    def verify(self) -> None:
        self.act("verify")
        *_, second = self.act("verify")
        if not second.get("ok") or second.get("problems"):
            raise Wrong(f"verify leaves {second}")
        self.suspect = False


def run(folder: Path, steps: int, number: int) -> trials.Figures:
    figures = trials.Figures("model", steps)
    Machine.folder, Machine.child, Machine.steps = folder, Child(folder / "home"), 0
    Machine.site = Site(folder, versions=VERSIONS)
    Machine.right = right_answers(folder, Machine.child, VERSIONS)
    try:
        # An example may be shorter than it is allowed to be; the next round has a seed of its own.
        while Machine.steps < steps:
            one_round(min(100, (steps - Machine.steps) // LENGTH + 1), number)
            number += 1
    except Exception as error:
        figures.wrong.append(f"{type(error).__name__}: {error}\n" + "\n".join(getattr(error, "__notes__", ())))
    figures.done = Machine.steps
    figures.add("caches", Machine.caches)
    return figures


def one_round(caches: int, number: int) -> None:
    run_state_machine_as_test(
        seed(number)(type("Machine", (Machine,), {})),
        settings=settings(
            max_examples=caches,
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            # A failing run is told as it was: making it smaller would take as long as all of the rest.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
