"""AWS Signature Version 4: a request, and the header that proves who sends it.

After the published algorithm. The path is encoded once more than it stands in the URL, as every service but S3 wants.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from .request import Request, parse_url

_ALGORITHM = "AWS4-HMAC-SHA256"
# What a proxy may write anew, and what AWS does not need to vouch for.
_UNSIGNED = frozenset({"authorization", "user-agent", "traceparent", "x-amzn-trace-id", "x-mooring-attempt"})


class Credentials(NamedTuple):
    """An access key; `session_token` where it is a temporary one."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, …)"


def signed(request: Request, credentials: Credentials, *, region: str, service: str, at_us: int) -> Request:
    """The request with its date, its session's token and its signature."""
    moment = datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = [*request.headers, (b"x-amz-date", moment.encode())]
    if credentials.session_token is not None:
        headers.append((b"x-amz-security-token", credentials.session_token.encode()))
    request = request._replace(headers=headers)
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    canonical, names = _canonical(request)
    to_sign = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    who = f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}"
    proof = f"{who}, SignedHeaders={names}, Signature={signature}"
    return request._replace(headers=[*headers, (b"authorization", proof.encode())])


def _canonical(request: Request) -> tuple[str, str]:
    """The request in the one form that both sides can write, and the names of the headers in it."""
    target = parse_url(request.url)
    path, _, query = target.path.decode().partition("?")
    named: dict[str, list[str]] = {"host": [target.host_header.decode()]}
    for name, value in request.headers:
        lowered = name.decode().lower()
        if lowered not in _UNSIGNED:
            named.setdefault(lowered, []).append(" ".join(value.decode("latin-1").split()))
    names = ";".join(sorted(named))
    lines = [f"{name}:{','.join(named[name])}" for name in sorted(named)]
    body = hashlib.sha256(request.body).hexdigest()
    return "\n".join([request.method, quote(path, safe="/~"), _query(query), *lines, "", names, body]), names


def _query(query: str) -> str:
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="~")
