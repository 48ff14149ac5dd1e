"""Installing what a script lacks, where somebody allowed that."""

from magic_module import _native


def install(missing: list[str], requirements: list[str]) -> tuple[bool, str]:
    """Whether everything is here now, and one sentence; nothing is installed that nobody allowed."""
    if not missing:
        return True, "nothing is missing"
    names = ", ".join(_native._shown(name) for name in missing)
    command = f"; `pip install {' '.join(requirements)}` does it by hand" if requirements else ""
    return False, (
        f"{names}: not installed, because nobody allowed it; set MAGIC_MODULE_AUTO_INSTALL=registry to let imports "
        f"install what the file in MAGIC_MODULE_REGISTRY approves{command}"
    )
