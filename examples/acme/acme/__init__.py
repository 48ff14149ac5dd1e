"""A library whose wheel stays small: what is big or optional is downloaded when it is first imported."""

import os

import magic_module

# A real library writes its address here, and the public key that its manifests are signed with.
MANIFEST_URL = os.environ.get("ACME_MANIFEST_URL", "https://modules.acme.example/manifest.json")

magic_module.mount(__name__, MANIFEST_URL)
