"""Credentials in AWS's words: the JSON of its endpoints, and its token service's XML, of which four values count."""

import html
import os
import re
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from mooring.core.clock import Clock
from mooring.net import HttpClient, Request
from mooring.net.sigv4 import Credentials, signed

from .tokens import READ_SECONDS, Kept, NoToken, told

_FORM = [(b"content-type", b"application/x-www-form-urlencoded")]
_VERSION = "2011-06-15"
_VALUE = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]{1,8192})</")


class _Found(msgspec.Struct, rename="pascal"):
    access_key_id: str = ""
    secret_access_key: str = ""
    token: str | None = None
    session_token: str | None = None
    expiration: str | None = None
    code: str = "Success"
    message: str | None = None


def host_of(service: str, region: str) -> str:
    """Where a service of a region lives; China's and the sovereign regions have domains of their own."""
    domain = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}.get(region.partition("-")[0], "amazonaws.com")
    return f"https://{service}.{region}.{domain}"


async def with_web_identity(
    http: HttpClient, clock: Clock, region: str, role: str, token: str, session: str
) -> Kept[Credentials]:
    """A role for a token that another identity provider has signed."""
    form = {"Action": "AssumeRoleWithWebIdentity", "RoleArn": role, "RoleSessionName": session}
    return await _asked(http, clock, _request(region, {**form, "WebIdentityToken": token}))


async def with_credentials(
    http: HttpClient, clock: Clock, region: str, role: str, session: str, own: Credentials, more: dict[str, str]
) -> Kept[Credentials]:
    """A role for whoever has credentials that may assume it."""
    request = _request(region, {"Action": "AssumeRole", "RoleArn": role, "RoleSessionName": session, **more})
    return await _asked(http, clock, signed(request, own, region=region, service="sts", at_us=clock.now_us()))


def _request(region: str, form: dict[str, str]) -> Request:
    url = os.environ.get("AWS_ENDPOINT_URL_STS") or host_of("sts", region)
    return Request("POST", f"{url.rstrip('/')}/", _FORM, urlencode({**form, "Version": _VERSION}).encode())


async def _asked(http: HttpClient, clock: Clock, request: Request) -> Kept[Credentials]:
    body = await told(http, request, "AWS's token service")
    found = {name: html.unescape(value.strip()) for name, value in _VALUE.findall(body.decode("utf-8", "replace"))}
    try:
        expires = datetime.fromisoformat(found["Expiration"])
        made = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    except (KeyError, ValueError) as error:
        raise NoToken("No token from AWS's token service: its answer holds no credentials.") from error
    return Kept(made, expires.timestamp() - clock.now_us() / 1e6)


def given(body: bytes, clock: Clock) -> Kept[Credentials]:
    """Credentials in AWS's JSON, as its endpoints and a profile's command write them.

    Raises:
        NoToken: there are none in it.
    """
    try:
        found = msgspec.json.decode(body, type=_Found)
        expires = datetime.fromisoformat(found.expiration) if found.expiration else None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise NoToken("No AWS credentials: the answer is not in AWS's format.") from error
    if found.code != "Success" or not found.access_key_id or not found.secret_access_key:
        raise NoToken(f"No AWS credentials: the answer says {found.code}: {found.message or 'no key'}.")
    made = Credentials(found.access_key_id, found.secret_access_key, found.token or found.session_token)
    return Kept(made, READ_SECONDS if expires is None else expires.timestamp() - clock.now_us() / 1e6)
