import importlib.metadata as metadata
import importlib.util

names = sorted({each.metadata["Name"].lower() for each in metadata.distributions()})
print(len(names), metadata.version("requests"), len(metadata.requires("requests") or ()))
print(len(metadata.files("certifi") or ()) > 5, importlib.util.find_spec("click") is not None)
