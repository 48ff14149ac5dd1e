"""A certificate authority of the test's own, as a company has one."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest


class Authority:
    """Signs certificates for servers; `file` is what `SSL_CERT_FILE` should name."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed, so no certificates can be made")
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.file = self.folder / "authority.pem"
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
        self._request("authority", f"The {name}", extensions, ("-x509", "-days", "2"))

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server needs to be `names`: host names, or addresses as `IP:127.0.0.1`."""
        alternatives = ",".join(name if ":" in name else f"DNS:{name}" for name in names)
        self._request("server", "The server", (), (), "server.csr")
        extensions = self.folder / "server.extensions"
        extensions.write_text(f"subjectAltName={alternatives}\nbasicConstraints=CA:FALSE\n")
        command = ["openssl", "x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key"]
        command += ["-set_serial", "2", "-days", "2", "-extfile", str(extensions), "-out", "server.pem"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context

    def _request(
        self, stem: str, name: str, extensions: tuple[str, ...], options: tuple[str, ...], out: str | None = None
    ) -> None:
        config = self.folder / f"{stem}.config"
        lines = [
            "[req]",
            "distinguished_name=name",
            "x509_extensions=own",
            "prompt=no",
            "[name]",
            f"CN={name}",
            "[own]",
        ]
        config.write_text("\n".join([*lines, *extensions, ""]))
        command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-config", str(config), "-keyout", f"{stem}.key", "-out", out or f"{stem}.pem", *options]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
