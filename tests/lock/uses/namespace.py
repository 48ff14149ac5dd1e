import zope.interface
from zope.interface import Interface, implementer


class Speaks(Interface):
    def say() -> str: ...


@implementer(Speaks)
class Dog:
    def say(self) -> str:
        return "woof"


print(Speaks.providedBy(Dog()), type(zope.__path__).__name__, zope.interface.__file__.endswith("__init__.py"))
