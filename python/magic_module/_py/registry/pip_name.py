"""What a link requires, also as pip users write it: `my-package --index-url https://…`, `git+https://…@v1.0`."""

import re
from collections.abc import Mapping
from typing import Any

from magic_module._py.locking.changes import normal
from magic_module._py.locking.inputs import Wanted
from magic_module._py.locking.reading import wrong
from magic_module._py.locking.secrets import refuse_kept, shown

_REFUSED = {
    "--force-reinstall": "there is nothing to reinstall: what is loaded is checked byte by byte each time",
    "--extra-index-url": "a package would be taken from whichever index has the newest; give its own with --index-url",
    "--find-links": "a folder of wheels does not say who made them; give --index-url, or the URL of the wheel",
    "--upgrade": "versions are fixed by a lock; make it again with `magic-module registry lock --upgrade`",
    "--editable": "an editable project is locked by its path, not linked",
    "--no-deps": "what a package requires is always fetched",
    "--pre": "name the version: `name>=2.0rc1`",
    "--target": "packages are in the cache; to have them in a folder, use `magic-module install --into`",
    "--user": "packages are in the cache, not in an environment",
    "--trusted-host": "servers are always checked",
}
_SHORT = {"-i": "--index-url", "-U": "--upgrade", "-e": "--editable", "-f": "--find-links", "-t": "--target"}


def read(said: Mapping[str, Any], place: str, of: str) -> Wanted | None:
    """What is to be in a lock for it; None if it names nothing.

    Raises:
        ConfigurationError: an option is refused, or it is not a requirement.
    """
    key = "pip_name" if said.get("pip_name") is not None else "requirement"
    text = said.get(key)
    if text is None:
        return None
    if "requirement" in said and "pip_name" in said:
        raise wrong(of, place, "has a requirement and a pip_name", "keep one of them")
    place = f"{place}.{key}"
    if not isinstance(text, str) or not text.strip() or "\n" in text:
        raise wrong(of, place, "is not a string of one line", f'write {key} = "name>=1"')
    # What is between options may have blanks: `name ; python_version < "3.12"`.
    requirement, *options = re.split(r"\s+(?=--?[A-Za-z])", f" {text.strip()}")
    index = None
    for option in options:
        flag, value = [*re.split(r"[=\s]+", option.strip(), maxsplit=1), ""][:2]
        flag = _SHORT.get(flag, flag)
        if flag != "--index-url":
            why = _REFUSED.get(flag, "it is not known here; --index-url is")
            raise wrong(of, place, f"has {flag}, which is refused: {why}", f"remove {flag}")
        index = value.strip("'\" ")
        if "://" not in index:
            raise wrong(of, place, "has an --index-url that is not a URL", "write --index-url https://…")
    for each in (requirement, index or ""):
        refuse_kept(each, place, of)
    name, requirement = _named(requirement.strip(), place, of)
    return Wanted(place, requirement, index, name)


def _named(requirement: str, place: str, of: str) -> tuple[str | None, str]:
    """The distribution's name, where it is said, and the requirement with it in front."""
    from packaging.requirements import InvalidRequirement, Requirement

    if re.match(r"git\+|\w+://", requirement):
        found = re.search(r"[#&]egg=([A-Za-z0-9._-]+)", requirement)
        found = found or re.search(r"/([A-Za-z0-9._]+)-[^/?#]+\.whl(?:[?#]|$)", requirement)
        if found is None:
            return None, requirement
        bare = re.sub(r"[#&]egg=[^#&]*", "", requirement)
        return normal(found.group(1)), f"{found.group(1)} @ {bare}"
    try:
        return normal(Requirement(requirement.replace("${", "%24%7B")).name), requirement
    except InvalidRequirement as error:
        why = f"is not a requirement: {shown(str(error)).splitlines()[0]}"
        raise wrong(of, place, why, 'write "name>=1", or "git+https://…@tag"') from None
