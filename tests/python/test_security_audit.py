"""Audit events (PEP 578): what they tell, in which thread, and that a hook can stop every act."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from kit.world import World
from origins import Origin

WATCH = """
    import json, sys, threading, magic_module
    seen, refused = [], {refused!r}
    main = threading.get_ident()
    def hook(event, arguments):
        if event.startswith("magic_module."):
            assert threading.get_ident() == main
            seen.append([event.removeprefix("magic_module."), *arguments])
            if event == "magic_module." + refused:
                raise PermissionError("not here")
    sys.addaudithook(hook)
    magic_module.mount("acme", {url!r})
    try:
        import acme.alpha
        {act}
    except PermissionError as error:
        print(json.dumps([str(error), seen, "acme.alpha" in sys.modules]))
    else:
        print(json.dumps([acme.alpha.VALUE, seen, True]))
"""


def watch(world: World, server: Origin, refused: str = "", act: str = "pass", **environment: str) -> list[Any]:
    script = WATCH.format(url=server.manifest_url, refused=refused, act=act)
    result: list[Any] = world.run(script, env=environment).json
    return result


def release(world: World, value: int) -> str:
    source = f"VALUE = {value}\n__version__ = '{value}'\n"
    world.publish({"alpha.py": source}, "acme")
    return hashlib.sha256(source.encode()).hexdigest()


def test_each_act_is_told_before_it_happens(world: World) -> None:
    server = world.serve()
    digest = release(world, 1)
    answer, seen, _ = watch(world, server)
    assert answer == 1
    assert [event[0] for event in seen] == ["resolve", "fetch", "verify", "load"]
    resolve, fetch, verify, load = seen
    assert resolve == ["resolve", server.manifest_url]
    assert fetch[1] == "acme.alpha" and fetch[2].startswith(server.url) and fetch[4] == digest
    assert verify[1:3] == ["acme.alpha", "1"] and len(verify[3]) == 64
    assert load[1] == "acme.alpha" and load[2].endswith("alpha.py") and load[3] == digest
    assert [event[0] for event in watch(world, server)[1]] == ["verify", "load"], "a warm import asks nobody"
    release(world, 2)
    seen = watch(world, server, act="acme.alpha._upgrade()")[1]
    assert ["upgrade", "acme.alpha", "1", "2"] in seen


@pytest.mark.parametrize("refused", ["resolve", "fetch", "verify", "load"])
def test_a_hook_that_raises_stops_the_act(world: World, refused: str) -> None:
    server = world.serve()
    release(world, 1)
    message, seen, imported = watch(world, server, refused)
    assert (message, imported) == ("not here", False)
    assert seen[-1][0] == refused
    asked = server.paths()
    assert ("/manifest.json" in asked) == (refused != "resolve")
    assert any(path.startswith("/files/") for path in asked) == (refused in ("verify", "load"))
    assert watch(world, server)[0] == 1, "nothing was damaged by it"


def test_a_hook_that_raises_stops_an_upgrade(world: World) -> None:
    server = world.serve()
    release(world, 1)
    assert watch(world, server)[0] == 1
    release(world, 2)
    assert watch(world, server, "upgrade", act="acme.alpha._upgrade()")[0] == "not here"
    assert watch(world, server)[0] == 1


def test_sources_are_opened_as_code(world: World) -> None:
    """CPython's own `open` event tells what `io.open_code` opens: for it there is no other one in C or Rust."""
    server = world.serve()
    release(world, 1)
    script = f"""
        import json, sys, magic_module
        opened = []
        sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
        magic_module.mount("acme", {server.manifest_url!r})
        import acme.alpha
        print(json.dumps(acme.alpha.__file__ in opened))
    """
    assert world.run(script).json is True
    assert world.run(script).json is False, "a warm import opens no source"
    assert world.run(script, env={"MAGIC_MODULE_VERIFY": "full"}).json is True


def test_a_hook_stops_what_comes_from_a_code_pack(world: World) -> None:
    """No source is read then, and yet nothing runs that the hook was not shown."""
    server = world.serve()
    digest = release(world, 1)
    assert watch(world, server)[0] == 1
    message, seen, imported = watch(world, server, "load")
    assert (message, imported) == ("not here", False)
    assert [event[0] for event in seen] == ["verify", "load"]
    assert seen[-1][1] == "acme.alpha" and seen[-1][2].endswith("alpha.py") and seen[-1][3] == digest


@pytest.mark.parametrize("verify", ["default", "full"])
def test_a_hook_that_forbids_to_open_a_source_stops_the_import(world: World, verify: str) -> None:
    server = world.serve()
    release(world, 1)
    if verify == "full":
        assert watch(world, server)[0] == 1, "there is a code pack, which must not be used"
    script = f"""
        import json, sys, magic_module
        def hook(event, arguments):
            if event == "open" and str(arguments[0]).endswith("alpha.py"):
                raise PermissionError("not this code")
        sys.addaudithook(hook)
        magic_module.mount("acme", {server.manifest_url!r})
        try:
            import acme.alpha
        except PermissionError as error:
            print(json.dumps([str(error), "acme.alpha" in sys.modules]))
    """
    assert world.run(script, env={"MAGIC_MODULE_VERIFY": verify}).json == ["not this code", False]
    assert watch(world, server)[0] == 1, "nothing was damaged by it"


OPEN_CODE = """
    import ctypes, io, json, sys, magic_module
    from magic_module.errors import IntegrityError
    asked = []
    def hook(path, _):
        asked.append(path)
        other = {other!r}
        return io.BytesIO(other) if other and path.endswith("alpha.py") else open(path, "rb")
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)
    kept = kind(hook)
    assert ctypes.pythonapi.PyFile_SetOpenCodeHook(kept, None) == 0
    magic_module.mount("acme", {url!r})
    try:
        import acme.alpha
        answer = acme.alpha.VALUE
    except IntegrityError as error:
        answer = type(error).__name__
    print(json.dumps([answer, any(path.endswith("alpha.py") for path in asked)]))
"""


def test_who_opens_code_for_the_interpreter_opens_ours(world: World) -> None:
    """A hook of PEP 578 sees every source that is compiled, and supplies the bytes; they must be those that were
    pinned."""
    server = world.serve()
    release(world, 1)
    for other, verify, expected in [
        (b"VALUE = 666", "default", ["IntegrityError", True]),
        (b"", "default", [1, True]),
        (b"VALUE = 666", "default", [1, False]),
        (b"", "full", [1, True]),
        (b"VALUE = 666", "full", ["IntegrityError", True]),
    ]:
        script = OPEN_CODE.format(url=server.manifest_url, other=other)
        assert world.run(script, env={"MAGIC_MODULE_VERIFY": verify}).json == expected, (other, verify)


def test_no_event_holds_a_secret(world: World) -> None:
    server = world.serve()
    release(world, 1)
    url = server.manifest_url.replace("http://", "http://user:canary-1@") + "?token=canary-2"
    script = WATCH.format(url=url, refused="", act="pass")
    assert "canary" not in json.dumps(world.run(script).json)
