"""Fetches what a script lacks, as an import would, if somebody allowed that."""

from magic_module import _native
from magic_module.errors import MagicModuleError


def install(imports: list[str], requirements: list[str], script: str) -> tuple[bool, str]:
    """Brings each name as `MAGIC_MODULE_AUTO_INSTALL` says; without it nothing is brought.

    Args:
        imports: the names that are missing, as they follow `import`.
        requirements: what pip would be told, as far as that is known.
        script: who imports them.

    Returns:
        Whether everything is here now, and one sentence.
    """
    if not imports:
        return True, "nothing is missing"
    names = ", ".join(_native._shown(name) for name in imports)
    if _native._settings()["auto_install"] is None:
        by_hand = f"; `pip install {' '.join(requirements)}` does it by hand" if requirements else ""
        return False, (
            f"{names}: not installed, because nobody allowed it; set MAGIC_MODULE_AUTO_INSTALL=ask or =registry, "
            f"and what may be installed in the file that MAGIC_MODULE_REGISTRY names{by_hand}"
        )
    from magic_module._py import auto

    refused = []
    for name in imports:
        try:
            brought, note = auto.provide(name.partition(".")[0], name, script)
        except MagicModuleError as error:
            refused.append(str(error))
        else:
            if not brought:
                refused.append(note or f"nobody knows what has {_native._shown(name)}")
    if refused:
        return False, "; ".join(refused)
    return True, f"{names}: an import fetches what has it"
