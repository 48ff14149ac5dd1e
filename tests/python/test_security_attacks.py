"""The attacks that The Update Framework lists, against a mount in each mode.

Every attacker here owns the server and, except for `key_compromise`, not the author's key. `security.md` shows the
outcomes as a table; the last test holds it to what is tested here. Outcomes are

- `stopped`: nothing of the attacker's is used, and there is an error;
- `noticed`: the program goes on with what it has, and says so;
- `limited`: one form of the attack is stopped, another is not; the test shows both;
- `open`: it works, and the mode cannot know better.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.world import World
from origins import Origin, faults
from test_security_signing import command, keygen

pytestmark = pytest.mark.once

MODES = ("no key", "lock", "key", "key and lock")

OUTCOMES = {
    "arbitrary_installation": ("open", "stopped", "stopped", "stopped"),
    "endless_data": ("stopped", "stopped", "stopped", "stopped"),
    "extraneous_dependencies": ("open", "stopped", "stopped", "stopped"),
    "fast_forward": ("limited", "limited", "stopped", "stopped"),
    "indefinite_freeze": ("limited", "limited", "noticed", "noticed"),
    "key_compromise": ("open", "stopped", "open", "stopped"),
    "malicious_mirror": ("noticed", "noticed", "noticed", "noticed"),
    "mix_and_match": ("open", "stopped", "stopped", "stopped"),
    "rollback": ("limited", "stopped", "stopped", "stopped"),
    "slow_retrieval": ("stopped", "stopped", "stopped", "stopped"),
    "wrong_software": ("stopped", "stopped", "stopped", "stopped"),
}

SHOW = """
    import json, sys, warnings, magic_module
    from magic_module.errors import MagicModuleError
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            magic_module.mount("acme", {url!r}, public_key={key!r}, frozen={frozen})
            import acme.alpha
            if {upgrade}:
                acme.alpha._upgrade()
            answer = acme.alpha.VALUE
        except MagicModuleError as error:
            answer = type(error).__name__
    print(json.dumps([answer, [w.category.__name__ for w in seen]]))
"""

GOOD, EVIL = 1, 6


class Attack:
    """An honest site, signed by the author; a client in one mode; and an attacker who owns the server."""

    def __init__(self, world: World, origin: Origin, mode: str, name: str) -> None:
        self.world, self.origin, self.mode = world, origin, mode
        self.expected = OUTCOMES[name][MODES.index(mode)]
        self.has_key, self.has_lock = "key" in mode.removeprefix("no key"), "lock" in mode
        #: What a client says to what the author did not publish.
        self.refusal = "SignatureError" if self.has_key else "PolicyError"
        self.secret, self.line = keygen(world, "author")
        self.site = world.path / "site"
        (world.work / "pyproject.toml").touch()
        self.publish(GOOD)
        self.pin()

    @property
    def url(self) -> str:
        return f"{self.origin.url}/manifest.json"

    def pin(self) -> None:
        """The project locks what the author's site has now."""
        if self.has_lock:
            arguments = ("pin", "acme.alpha", "--manifest-url", self.url, "--namespace", "acme")
            command(self.world, *arguments, *(("--public-key", self.line) if self.has_key else ()))
            self.forget()

    def publish(self, value: int, *, secret: Path | None = None, extra: str = "", version: int | None = None) -> None:
        """The author publishes; with another `secret`, somebody else does."""
        source = f"VALUE = {value}\n__version__ = '{version or value}'\n"
        sources = {"alpha.py": source, "beta.py": source}
        self.world.publish({**sources, "magic-module.toml": extra}, "acme", sign=[secret or self.secret])

    def manifest(self) -> Any:
        return json.loads((self.site / "manifest.json").read_text())

    def forge(self, change: Callable[[Any], object]) -> None:
        """The attacker edits the manifest, and cannot sign it."""
        manifest = self.manifest()
        change(manifest)
        (self.site / "manifest.json").write_text(json.dumps(manifest))

    def replace(self) -> None:
        """The attacker puts a site of his own in the place of the author's, signed by a key of his own."""
        shutil.rmtree(self.site)
        foreign, _ = keygen(self.world, "attacker")
        self.publish(EVIL, secret=foreign, version=GOOD)

    def keep(self) -> Path:
        return Path(shutil.copytree(self.site, self.world.path / "kept", dirs_exist_ok=True))

    def replay(self, kept: Path) -> None:
        shutil.rmtree(self.site)
        shutil.copytree(kept, self.site)

    def client(self, *, upgrade: bool = False, frozen: bool | None = None) -> tuple[Any, list[str]]:
        key = self.line if self.has_key else None
        frozen = self.mode == "lock" if frozen is None else frozen
        answer, seen = self.world.run(SHOW.format(url=self.url, key=key, frozen=frozen, upgrade=upgrade)).json
        return answer, seen

    def forget(self) -> None:
        shutil.rmtree(self.world.cache, ignore_errors=True)


@pytest.fixture(params=MODES)
def attack(world: World, request: pytest.FixtureRequest) -> Iterator[Attack]:
    with Origin(world.path / "site") as origin:
        yield Attack(world, origin, request.param, request.node.originalname.removeprefix("test_"))


def test_arbitrary_installation(attack: Attack) -> None:
    attack.replace()
    assert attack.client()[0] == (EVIL if attack.expected == "open" else attack.refusal)


def test_endless_data(attack: Attack) -> None:
    for pattern, refusal in (("/files/*", "IntegrityError"), ("/manifest.json", "FetchError")):
        attack.forget()
        attack.origin.fail(pattern, faults.endless_body)
        assert attack.client()[0] == refusal, pattern
        attack.origin.heal()
    whole = sum(path.stat().st_size for path in attack.world.cache.rglob("*") if path.is_file())
    assert whole < 1 << 20
    assert attack.client()[0] == GOOD


def test_extraneous_dependencies(attack: Attack) -> None:
    attack.forge(lambda manifest: manifest["modules"]["alpha"].update(requires=["beta"]))
    beta = attack.manifest()["modules"]["beta"]["files"][0]["url"]
    assert attack.client()[0] == (GOOD if attack.expected == "open" else attack.refusal)
    assert (f"/{beta}" in attack.origin.paths()) == (attack.expected == "open")
    if attack.mode == "lock":
        assert attack.client(frozen=False)[0] == GOOD, "it is `frozen` that stops this one"
        assert f"/{beta}" in attack.origin.paths()


def test_fast_forward(attack: Attack) -> None:
    assert attack.client()[0] == GOOD
    honest = (attack.site / "manifest.json").read_bytes()
    attack.forge(lambda manifest: manifest.update(serial=int(time.time()) + 1_000_000_000))
    refused = "SignatureError" if attack.has_key else "IntegrityError"
    assert attack.client(upgrade=True)[0] == refused, "years ahead of the clock"
    attack.forge(lambda manifest: manifest.update(serial=int(time.time()) + 80_000))
    taken = attack.client(upgrade=True)[0]
    assert taken == (GOOD if attack.expected == "limited" else refused), "hours ahead of the clock"
    (attack.site / "manifest.json").write_bytes(honest)
    attack.publish(2)
    after = {"limited": "IntegrityError", "stopped": GOOD if attack.has_lock else 2}
    # The author's own serial grows past a forged one within a day; until then, clients without a key refuse it.
    manifest = attack.manifest()
    assert manifest["serial"] < time.time() + 80_000
    assert attack.client(upgrade=True)[0] == after[attack.expected]


def test_indefinite_freeze(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) + 10))
    attack.publish(GOOD, extra="max_age = 0")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    attack.forge(lambda manifest: manifest.update(created="2026-01-01T00:00:00Z"))
    if attack.has_key:
        # Whoever cannot sign can only show what the author signed: made here by the author, long ago.
        signature = attack.site / "manifest.json.minisig"
        shutil.rmtree(attack.site / "signatures")
        signature.unlink()
        resign(attack)
    answer, seen = attack.client()
    assert (answer, seen) == (GOOD, ["OldManifestWarning"])
    if attack.expected == "limited":
        attack.forget()
        attack.forge(lambda manifest: manifest.pop("max_age"))
        assert attack.client() == (GOOD, []), "what is not signed can be made young again"


def resign(attack: Attack) -> None:
    """The author signs the manifest that lies there: publishing the same records only adds a signature."""
    attack.publish(GOOD, extra="max_age = 0")
    assert attack.manifest()["created"] == "2026-01-01T00:00:00Z"


def test_key_compromise(attack: Attack) -> None:
    for version in (GOOD, EVIL):
        attack.forget()
        shutil.rmtree(attack.site)
        attack.publish(EVIL, secret=attack.secret, version=version)
        assert attack.client()[0] == (EVIL if attack.expected == "open" else "PolicyError"), version


def test_malicious_mirror(attack: Attack) -> None:
    assert attack.client()[0] == GOOD
    no_manifest = "SignatureError" if attack.has_key else "ManifestError"
    for fault, refusal in (
        (faults.not_found, "FetchError"),
        (faults.html_instead_of_json, no_manifest),
        (faults.reset_at_once, "FetchError"),
    ):
        attack.origin.fail("*", fault)
        assert attack.client(upgrade=True)[0] == refusal, fault.__name__
        assert attack.client()[0] == GOOD, "what is in the cache stays in use"
        attack.origin.heal()


def test_mix_and_match(attack: Attack) -> None:
    old = attack.manifest()["modules"]["alpha"]
    attack.publish(2)
    attack.pin()
    attack.forge(lambda manifest: manifest["modules"].update(alpha=old))
    assert attack.client()[0] == (GOOD if attack.expected == "open" else attack.refusal)


def test_rollback(attack: Attack) -> None:
    kept = attack.keep()
    attack.publish(2)
    attack.pin()
    assert attack.client(upgrade=True)[0] == 2
    attack.replay(kept)
    assert attack.client(upgrade=True)[0] == "IntegrityError", "an older serial than one that was seen"
    attack.forge(lambda manifest: manifest.update(serial=manifest["serial"] + 3600))
    answer = attack.client(upgrade=True)[0]
    assert answer == (GOOD if attack.expected == "limited" else attack.refusal), "a forged serial"


def test_slow_retrieval(attack: Attack) -> None:
    attack.origin.fail("/files/*", faults.one_byte_a_second)
    assert attack.client()[0] == "FetchError"
    attack.origin.heal()
    assert attack.client()[0] == GOOD


def test_wrong_software(attack: Attack) -> None:
    modules = attack.manifest()["modules"]
    alpha, beta = (attack.site / modules[name]["files"][0]["url"] for name in ("alpha", "beta"))
    alpha.write_bytes(alpha.read_bytes().replace(b"VALUE = 1", b"VALUE = 6"))
    assert attack.client()[0] == "IntegrityError", "other bytes of the same length"
    alpha.write_bytes(beta.read_bytes() + b"\n")
    assert attack.client()[0] == "IntegrityError", "what the author published under another name"


def test_the_table_of_the_documentation_is_this_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "concepts" / "security.md"
    rows = re.findall(
        r"^\| `test_(\w+)` \|.*?\| (\w+) \| (\w+) \| (\w+) \| (\w+) \|", page.read_text("utf-8"), re.MULTILINE
    )
    assert {name: tuple(cells) for name, *cells in rows} == OUTCOMES
    assert all(f"test_{name}" in globals() for name in OUTCOMES)
