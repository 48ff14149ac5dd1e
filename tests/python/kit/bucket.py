"""An S3 bucket on 127.0.0.1, which looks at the signature of every request.

    bucket = Bucket(tmp_path / "store")
    bucket.environment                        # what lets its user in
    bucket.url                                # s3://models
    bucket.fail("PUT", "*/manifest.json", answer)

`GoogleBucket` is the same as Google has it. It has GET with ranges and ETags, HEAD, and PUT with If-Match and
If-None-Match. It was written from the description of the signature, so that it and the client do not make the same
mistakes.
"""

from __future__ import annotations

import base64
import email.utils
import fnmatch
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

import pytest

from origins import Origin, Reply, Request

NAME = "models"
KEY, SECRET, TOKEN = "KEYCANARY", "secretcanary/with+signs", "tokencanary=="
REGION = "eu-west-1"
DAY = 86_400


class Bucket:
    """Objects are files below `folder/models`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / NAME
        self.folder.mkdir(parents=True)
        self.ahead = 0.0
        """Seconds by which its clock is ahead."""
        self.is_open = False
        """Who gives no credentials may read."""
        self.expired = False
        """The token counts no more."""
        self._faults: list[tuple[str, str, Callable[[Reply], None]]] = []
        self._lock = threading.Lock()
        self.server = Origin(folder, {"*": self._answer})

    @property
    def url(self) -> str:
        return f"s3://{NAME}"

    @property
    def environment(self) -> dict[str, str | None]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def close(self) -> None:
        self.server.close()

    def fail(self, method: str, pattern: str, answer: Callable[[Reply], None]) -> None:
        """Answers the next request that fits in another way."""
        self._faults.append((method, f"/{NAME}/{pattern}", answer))

    def names(self) -> list[str]:
        """Of all objects."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def asked(self, method: str) -> list[str]:
        """What was asked for with a method since the last call, without the bucket's name; others are forgotten."""
        return [request.path[len(NAME) + 2 :] for request in self.server.take() if request.method == method]

    def _answer(self, reply: Reply) -> None:
        reply._handler.date_time_string = self._date  # type: ignore[method-assign]
        with self._lock:
            for fault in self._faults:
                if fault[0] == reply.request.method and fnmatch.fnmatchcase(reply.request.path, fault[1]):
                    self._faults.remove(fault)
                    fault[2](reply)
                    return
            content = reply.content()
            refusal = self._refusal(reply.request, reply._handler.path, content)
            if refusal is not None:
                refuse(reply, *refusal)
            elif not reply.request.path.startswith(f"/{NAME}/"):
                refuse(reply, 404, "NoSuchBucket")
            elif reply.request.method == "PUT":
                self._put(reply, content)
                return
        if refusal is None and reply.request.status == 0:
            if reply.body is None:
                refuse(reply, 404, "NoSuchKey")
            else:
                self._get(reply)

    def _get(self, reply: Reply) -> None:
        reply.well()

    def _date(self, timestamp: float | None = None) -> str:
        return email.utils.formatdate(time.time() + self.ahead, usegmt=True)

    def _put(self, reply: Reply, content: bytes) -> None:
        tag = None if reply.body is None else f'"{hashlib.sha256(reply.body).hexdigest()}"'
        wanted, unwanted = reply.request.headers.get("if-match"), reply.request.headers.get("if-none-match")
        if (wanted is not None and wanted != tag) or (unwanted == "*" and tag is not None):
            refuse(reply, 412, "PreconditionFailed")
            return
        self._write(reply, content)

    def _write(self, reply: Reply, content: bytes) -> None:
        path = self.folder.parent / reply.request.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        reply.whole(200, headers={"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})

    def _refusal(self, request: Request, target: str, content: bytes) -> tuple[int, str, str] | None:
        """The status, the code, and what else is said; None for a request that is as it should be."""
        said = request.headers.get("authorization", "")
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(.*), SignedHeaders=(.*), Signature=(.*)", said)
        if found is None:
            return None if self.is_open and request.method == "GET" else (403, "AccessDenied", "")
        key, day, region, service, end = found[1].split("/")
        signed = found[2].split(";")
        if region != REGION:
            return 400, "AuthorizationHeaderMalformed", f"<Region>{REGION}</Region>"
        moment = request.headers["x-amz-date"]
        sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
        if abs(time.time() + self.ahead - sent) > 900:
            return 403, "RequestTimeTooSkewed", ""
        if key != KEY:
            return 403, "InvalidAccessKeyId", f"<AWSAccessKeyId>{key}</AWSAccessKeyId>"
        if self.expired or request.headers.get("x-amz-security-token") != TOKEN:
            return 400, "ExpiredToken", f"<Token-0>{TOKEN}</Token-0>"
        digest = request.headers["x-amz-content-sha256"]
        if digest != hashlib.sha256(content).hexdigest():
            return 400, "XAmzContentSHA256Mismatch", ""
        path = quote(request.path, safe="/-_.~")
        assert path == target, "what is not escaped as the signature wants it"
        assert {name for name in request.headers if name.startswith("x-amz-")} | {"host"} <= set(signed)
        headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in signed)
        canonical = "\n".join([request.method, path, "", headers, found[2], digest])
        scope = f"{day}/{region}/{service}/{end}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        signing = f"AWS4{SECRET}".encode()
        for part in (day, region, service, end, "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashed])):
            signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
        if signing.hex() != found[3]:
            return 403, "SignatureDoesNotMatch", f"<StringToSign>{SECRET}</StringToSign>"
        return None


class GoogleBucket(Bucket):
    """The same as Google has it: a service account signs a token, and a manifest has generations."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed, so no key can be made")
        super().__init__(folder)
        command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        self._key = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (folder / "key").write_text(self._key)
        subprocess.run(["openssl", "pkey", "-in", "key", "-pubout", "-out", "public"], cwd=folder, check=True)
        self._accepted: set[str] = set()

    @property
    def url(self) -> str:
        return f"gs://{NAME}"

    @property
    def environment(self) -> dict[str, str | None]:
        account = {
            "type": "service_account",
            "client_email": "reader@canary.example",
            "private_key_id": "canary",
            "private_key": self._key,
        }
        return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account), "GOOGLE_BASE_URL": self.server.url}

    def _get(self, reply: Reply) -> None:
        body = reply.body or b""
        reply.whole(200, body, {"x-goog-generation": str(generation(body))})

    def _put(self, reply: Reply, content: bytes) -> None:
        wanted = reply.request.headers.get("x-goog-if-generation-match")
        if wanted not in {None, str(generation(reply.body))}:
            refuse(reply, 412, "PreconditionFailed")
            return
        self._write(reply, content)

    def _refusal(self, request: Request, target: str, content: bytes) -> tuple[int, str, str] | None:
        said = request.headers.get("authorization", "").removeprefix("Bearer ")
        if said not in self._accepted:
            text, _, signature = said.rpartition(".")
            folder = self.folder.parent
            (folder / "signature").write_bytes(base64.urlsafe_b64decode(signature + "=="))
            command = ["openssl", "dgst", "-sha256", "-verify", "public", "-signature", "signature"]
            if subprocess.run(command, cwd=folder, input=text.encode(), capture_output=True).returncode != 0:
                return 401, "AuthenticationRequired", ""
            self._accepted.add(said)
        return None


def generation(body: bytes | None) -> int:
    """0: nothing is there."""
    return 0 if body is None else 1 + zlib.crc32(body)


def refuse(reply: Reply, status: int, code: str, more: str = "") -> None:
    """Answers as S3 does."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>canary</Message>{more}</Error>".encode()
    reply.whole(status, body, {"Content-Type": "application/xml"})
