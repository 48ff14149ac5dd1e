"""What the wheel ships itself: it needs no network, and always wins over a unit of the same name."""


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.strip(".,;:!?").lower() for word in text.split()]
