"""Profiles of AWS's shared files: who a program is on a developer's machine.

Both files are read each time: a login writes them anew. Single sign-on has files and a protocol of its own, which AWS's
command speaks for us as the profile's `credential_process`.
"""

import configparser
import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from mooring.core.clock import Clock
from mooring.core.errors import ConfigError
from mooring.net import HttpClient
from mooring.net.sigv4 import Credentials

from . import aws_sts
from .config import read_secret
from .tokens import READ_SECONDS, Kept, NoToken, printed

Given = Kept[Credentials]
Sources = Mapping[str, Callable[[], Awaitable[Given | str]]]
_MOST_STEPS = 5  # profiles that name each other as their source


def name_of(profile: str | None) -> str:
    """The profile that is meant where none is named."""
    return profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"


def settings_of(profile: str) -> dict[str, str]:
    """What both files say of it; the credentials' file wins.

    Raises:
        ConfigError: a file is not in AWS's format.
    """
    section = profile if profile == "default" else f"profile {profile}"
    found = _section("AWS_CONFIG_FILE", "~/.aws/config", section)
    return found | _section("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile)


def _section(variable: str, usual: str, section: str) -> dict[str, str]:
    path = Path(os.environ.get(variable) or usual).expanduser()
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable} or {usual} cannot be read: {type(error).__name__}.") from error
    return dict(parser[section]) if parser.has_section(section) else {}


async def credentials(
    http: HttpClient, clock: Clock, region: str, profile: str | None, sources: Sources
) -> Given | str:
    """The profile's credentials, or why it has none."""
    name = name_of(profile)
    return await _Reader(http, clock, region, sources).of(name, ())


def _keys(found: dict[str, str]) -> Given | None:
    """The keys that stand in a profile itself."""
    if "aws_access_key_id" not in found or "aws_secret_access_key" not in found:
        return None
    key, secret = found["aws_access_key_id"], found["aws_secret_access_key"]
    return Kept(Credentials(key, secret, found.get("aws_session_token")), READ_SECONDS)


class _Reader:
    """Follows a profile to where its credentials are."""

    def __init__(self, http: HttpClient, clock: Clock, region: str, sources: Sources) -> None:
        self._http = http
        self._clock = clock
        self._region = region
        self._sources = sources

    async def of(self, name: str, seen: tuple[str, ...]) -> Given | str:
        if name in seen or len(seen) == _MOST_STEPS:
            raise NoToken(f"No AWS credentials: the profiles {', '.join((*seen, name))} name each other.")
        found = settings_of(name)
        if "role_arn" in found:
            return await self._role(name, found, (*seen, name))
        keys = _keys(found)
        if keys is not None:
            return keys
        if "credential_process" in found:
            return await self._process(found["credential_process"])
        if any(key.startswith("sso_") for key in found):
            raise NoToken(
                f"No AWS credentials: the profile '{name}' signs on with a browser.",
                hint=f"Give a profile credential_process = aws configure export-credentials --profile {name}.",
            )
        return f"the profile '{name}' has no credentials in AWS's shared files"

    async def _process(self, line: str) -> Given:
        return aws_sts.given((await printed(shlex.split(line))).encode(), self._clock)

    async def _role(self, name: str, found: dict[str, str], seen: tuple[str, ...]) -> Given:
        session = found.get("role_session_name", "mooring")
        if "web_identity_token_file" in found:
            token = read_secret(f"file:{found['web_identity_token_file']}")
            return await aws_sts.with_web_identity(
                self._http, self._clock, self._region, found["role_arn"], token, session
            )
        if "mfa_serial" in found:
            raise NoToken(f"No AWS credentials: the role of the profile '{name}' wants a code that a person types.")
        own = await self._source(name, found, seen)
        more = {"ExternalId": found["external_id"]} if "external_id" in found else {}
        return await aws_sts.with_credentials(
            self._http, self._clock, self._region, found["role_arn"], session, own.value, more
        )

    async def _source(self, name: str, found: dict[str, str], seen: tuple[str, ...]) -> Given:
        given: Given | str
        if "source_profile" in found:
            source = found["source_profile"]
            own = _keys(found) if source == name else None  # a profile may be its own source: its keys are meant
            given = own or await self.of(source, seen)
        elif found.get("credential_source") in self._sources:
            given = await self._sources[found["credential_source"]]()
        else:
            given = f"the profile '{name}' has a role and neither source_profile nor credential_source"
        if isinstance(given, str):
            raise NoToken(f"No AWS credentials: {given}.")
        return given
