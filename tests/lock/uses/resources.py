import importlib.resources as resources

import certifi

print(resources.files("certifi").joinpath("cacert.pem").is_file(), len(certifi.contents()) > 100_000)
