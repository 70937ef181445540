"""AWS's credentials, from where AWS's own SDKs look for them, in their order and under the names that they read.

A source that is not set up says so in a few words; one that is set up and fails is an error, never passed over.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from mooring.core.clock import Clock
from mooring.core.errors import ConfigError, MooringError
from mooring.net import HttpClient, Request
from mooring.net.sigv4 import Credentials

from . import aws_profile
from .aws_sts import given, with_web_identity
from .config import read_secret
from .tokens import READ_SECONDS, Kept, NoToken, told

Given = Kept[Credentials]
METADATA = "http://169.254.169.254"
CONTAINER = "http://169.254.170.2"
_IMDS = "/latest/meta-data/iam/security-credentials/"
_TTL = [(b"x-aws-ec2-metadata-token-ttl-seconds", b"21600")]
# Where a container's credentials may come from without encryption: what AWS's SDKs allow.
_NEAR = frozenset({"127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"})


class Place(NamedTuple):
    """Who asks, and when: `profile` is of the shared files, `region` decides which token service is asked."""

    http: HttpClient
    clock: Clock
    region: str
    profile: str | None = None


Source = Callable[[Place], Awaitable[Given | str]]


async def environment(place: Place) -> Given | str:
    """AWS_ACCESS_KEY_ID and what belongs to it."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return f"{'AWS_SECRET_ACCESS_KEY' if key else 'AWS_ACCESS_KEY_ID'} is not set"
    return Kept(Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN") or None), READ_SECONDS)


async def web_identity(place: Place) -> Given | str:
    """The token that Kubernetes mounts (EKS, IRSA), exchanged for credentials; the file is read each time."""
    path, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), os.environ.get("AWS_ROLE_ARN")
    if not path or not role:
        return f"{'AWS_ROLE_ARN' if path else 'AWS_WEB_IDENTITY_TOKEN_FILE'} is not set"
    session = os.environ.get("AWS_ROLE_SESSION_NAME") or "mooring"
    return await with_web_identity(place.http, place.clock, place.region, role, read_secret(f"file:{path}"), session)


async def profile(place: Place) -> Given | str:
    """A profile of AWS's shared files: keys, a command, or a role that is assumed with another source."""
    return await aws_profile.credentials(place.http, place.clock, place.region, place.profile, _named(place))


def _named(place: Place) -> Mapping[str, Callable[[], Awaitable[Given | str]]]:
    """What a profile's `credential_source` may name."""
    return {
        "Environment": lambda: environment(place),
        "EcsContainer": lambda: container(place),
        "Ec2InstanceMetadata": lambda: machine(place),
    }


async def container(place: Place) -> Given | str:
    """What ECS and EKS (Pod Identity) offer to a container."""
    url = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    relative = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        url = CONTAINER + relative
    if not url:
        return "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and AWS_CONTAINER_CREDENTIALS_FULL_URI are not set"
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _NEAR:
        raise ConfigError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI names {parts.hostname} without encryption.",
            hint="AWS allows that for a container's own addresses only; use https.",
        )
    path = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = read_secret(f"file:{path}") if path else os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    headers = [(b"authorization", token.encode())] if token else []
    return given(await told(place.http, Request("GET", url, headers), "the container's endpoint"), place.clock)


async def machine(place: Place) -> Given | str:
    """The role of an EC2 machine, asked for with a session's token (IMDSv2)."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return "AWS_EC2_METADATA_DISABLED is true"
    host = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", METADATA).rstrip("/")
    who = "the machine's metadata endpoint"
    session = await told(place.http, Request("PUT", f"{host}/latest/api/token", _TTL), who)
    headers = [(b"x-aws-ec2-metadata-token", session.strip())]
    roles = (await told(place.http, Request("GET", host + _IMDS, headers), who)).decode("ascii", "replace").split()
    if not roles:
        raise NoToken(f"No token from {who}: the machine has no role.", hint="Give it an instance profile.")
    return given(await told(place.http, Request("GET", f"{host}{_IMDS}{roles[0]}", headers), who), place.clock)


async def metadata(place: Place) -> Given | str:
    """The container's where it is one, else the machine's."""
    found = await container(place)
    return await machine(place) if isinstance(found, str) else found


CHAIN: tuple[Source, ...] = (environment, web_identity, profile, container, machine)


async def credentials(place: Place, sources: tuple[Source, ...] = CHAIN) -> Given:
    """The first that is set up.

    Raises:
        NoToken: none is, or the first one that is fails; the message says what was looked at.
    """
    reasons: list[str] = []
    for source in sources:
        try:
            found = await source(place)
        except MooringError as error:
            if source is not machine or len(sources) == 1:
                raise
            found = error.message.rstrip(".")  # whoever runs elsewhere has no such endpoint
        if not isinstance(found, str):
            return found
        reasons.append(found)
    raise NoToken(
        f"No AWS credentials: {'; '.join(reasons)}.",
        hint="Set one of these, or name a profile under the provider; on a machine of AWS's, list "
        "169.254.169.254/32 under allowed_networks.",
    )
