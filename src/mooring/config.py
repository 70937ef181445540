"""`mooring.toml`: one section per room, loaded, overridden from the environment, and explained where it is wrong.

Order: defaults, what vendors' keys in the environment enable, the file, then `MOORING_SECTION__KEY` variables. Unknown
keys are refused with the nearest known one; all mistakes are reported at once. Secrets are references (`env:NAME`,
`file:PATH`), never literals.
"""

import copy
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mooring.core.errors import ConfigError
from mooring.core.registry import Registry, did_you_mean
from mooring.gateway.config import GatewayConfig, ProviderConfig, read_secret
from mooring.gateway.discovery import keyed_vendors
from mooring.gateway.outward import http_client
from mooring.gateway.provider import registry as providers
from mooring.gateway.task import load as load_task
from mooring.guardrails.config import GuardrailsConfig
from mooring.guardrails.guardrails import mistakes as check_mistakes
from mooring.guardrails.guardrails import registry as checks
from mooring.journal.config import RetentionConfig
from mooring.local.config import LocalConfig
from mooring.rag.config import RagConfig
from mooring.tracing.config import TracingConfig

DEFAULT_PORT = 4790
RESERVED = frozenset({"MOORING_HOME", "MOORING_URL", "MOORING_API_KEY", "MOORING_SUPERVISED", "MOORING_CONFIG"})


class Section(BaseModel):
    """A part of the file: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSection(Section):
    """[server]: the HTTP edge."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on. Beyond loopback at least one API key must exist."
    )
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description=f"Port to listen on. Without one, {DEFAULT_PORT}, or a free one that is then kept for this home.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names, beside loopback's, that requests may name."
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Origins of other sites whose pages may call this server."
    )
    body_limit_bytes: int = Field(default=32 * 1024 * 1024, gt=0, description="Largest request body.")
    connection_limit: int = Field(default=4096, gt=0, description="Most connections at once; beyond it, 503.")
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="Lines on standard error: text, or one JSON object each, with one for every request and run.",
    )
    drain_seconds: float = Field(default=10.0, ge=0, description="How long running requests may take after SIGTERM.")


def _without_password(url: str) -> str:
    if not url.startswith(("env:", "file:")) and urlsplit(url).password is not None:
        raise ValueError("a URL with a password is a secret: name it as a reference, 'env:NAME' or 'file:PATH'")
    return url


DatabaseUrl = Annotated[str, AfterValidator(_without_password)]


class StorageSection(Section):
    """[storage]: where the journal is kept."""

    url: DatabaseUrl | None = Field(
        default=None,
        description="`postgresql://…` without a password, or a reference to one with: `env:NAME`, `file:PATH`. "
        "Without one, SQLite in the home.",
    )
    durability: Literal["kill", "power"] = Field(
        default="kill",
        description="What a committed row survives: the process being killed, or the power failing (fsync).",
    )


class WorkerSection(Section):
    """[worker]: agents and ingestion."""

    count: int = Field(
        default=2, ge=0, le=64, description="Worker processes of `mooring up`; two, so that one is warm."
    )
    slots: int = Field(default=8, ge=1, le=256, description="Runs that one worker works on at once.")


class Config(Section):
    """The whole file."""

    server: ServerSection = ServerSection()
    storage: StorageSection = StorageSection()
    worker: WorkerSection = WorkerSection()
    gateway: GatewayConfig = GatewayConfig()
    guardrails: GuardrailsConfig = GuardrailsConfig()
    rag: RagConfig = RagConfig()
    retention: RetentionConfig = RetentionConfig()
    local: LocalConfig = LocalConfig()
    tracing: TracingConfig = TracingConfig()

    def database_url(self) -> str | None:
        """[storage] url with its secret.

        Raises:
            ConfigError: the reference leads nowhere.
        """
        url = self.storage.url
        return read_secret(url) if url is not None and url.startswith(("env:", "file:")) else url

    def canonical(self) -> bytes:
        """The effective configuration as canonical JSON: part of the release that every call names."""
        return msgspec.json.encode(self.model_dump(mode="json"), order="sorted")


class Explained(NamedTuple):
    """The configuration, and by the path of each setting that is not a default, who said so."""

    config: Config
    sources: dict[tuple[str, ...], str]


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration from `path` (else `MOORING_CONFIG`, else `mooring.toml` here, if any) and the environment.

    Raises:
        ConfigError: every mistake, one line each, with its path and what was probably meant.
    """
    return explain(path, environment).config


def explain(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Explained:
    """The same as `load`, with the source of each setting.

    Raises:
        ConfigError: as `load`.
    """
    environment = os.environ if environment is None else environment
    found = _file(path, environment)
    return _parse(_read(found) if found else {}, environment, origin=origin_of(path, environment))


def origin_of(path: Path | None, environment: Mapping[str, str] | None = None) -> str:
    """What the configuration is read from, in words."""
    return str(_file(path, os.environ if environment is None else environment) or "the environment")


def _file(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    found = path or (Path(environment["MOORING_CONFIG"]) if "MOORING_CONFIG" in environment else None)
    return Path("mooring.toml") if found is None and Path("mooring.toml").is_file() else found


def mistakes(config: Config) -> list[str]:
    """What would fail later only: an account without address or key, a wrong option of a check, a dead reference."""
    accounts = config.gateway.providers
    tries: dict[str, Callable[[], object]] = {
        f"gateway.providers.{name}": partial(_open_account, name, account) for name, account in accounts.items()
    }
    tries |= {
        f"gateway.models.{name}.task": partial(load_task, name, model.task, model.targets)
        for name, model in config.gateway.models.items()
        if model.task.file
    }
    tries["storage.url"] = config.database_url
    tries["gateway"] = partial(http_client, config.gateway, os.environ)
    found = {path: _error_of(attempt) for path, attempt in tries.items()}
    return [error if error.startswith(path) else f"{path}: {error}" for path, error in found.items() if error]


def _open_account(name: str, account: ProviderConfig) -> object:
    kind = providers.get(account.type)
    return None if kind.is_own and account.base_url is None else kind(name, account)


def _error_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except ConfigError as error:
        return str(error)
    return ""


def listed(origin: str, mistakes: Sequence[str]) -> str:
    """All of them, one line each."""
    return f"{origin} has {len(mistakes)} mistake(s):\n  " + "\n  ".join(mistakes)


def parse(data: dict[str, Any], environment: Mapping[str, str], *, origin: str) -> Config:
    """Checks data that was read from a file, with the environment's overrides on top.

    Raises:
        ConfigError: every mistake, one line each.
    """
    return _parse(data, environment, origin=origin).config


def _parse(data: dict[str, Any], environment: Mapping[str, str], *, origin: str) -> Explained:
    sources = dict.fromkeys(_leaves(data), origin)
    data = _overridden(data, environment, sources)
    _add_keyed_vendors(data, environment, sources)
    mistakes: list[str] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        mistakes += [_explain(problem, sources) for problem in error.errors()]
    mistakes += _unknown_plug_ins(data)
    if config is None or mistakes:
        raise ConfigError(listed(origin, mistakes))
    return Explained(config, sources)


def _leaves(data: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values; a list is a value."""
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*place, key))
        else:
            yield (*place, key)


def _section(data: dict[str, Any], *place: str) -> dict[str, Any]:
    """The section there; an empty one where there is none, or something else."""
    for key in place:
        found = data.get(key)
        data = found if isinstance(found, dict) else {}
    return data


def _add_keyed_vendors(
    data: dict[str, Any], environment: Mapping[str, str], sources: dict[tuple[str, ...], str]
) -> None:
    """A vendor's key in the environment is as good as a section that names it, unless [gateway] discover = false."""
    if _section(data, "gateway").get("discover") is False:
        return
    for name, variable in keyed_vendors(environment).items():
        gateway = data.setdefault("gateway", {})
        known = gateway.setdefault("providers", {}) if isinstance(gateway, dict) else None
        if not isinstance(known, dict) or name in known:
            continue
        known[name] = {"type": name, "api_key": f"env:{variable}"}
        for key in known[name]:
            sources["gateway", "providers", name, key] = f"discovered: {variable} is set"


def _unknown_plug_ins(data: dict[str, Any]) -> list[str]:
    """The `type`s that name no plug-in, each with the nearest one; and what is wrong in the checks' own sections."""
    accounts = _section(data, "gateway", "providers")
    named: list[tuple[Registry[Any], str, Any]] = [
        (providers, f"gateway.providers.{name}.type", _section(accounts, name).get("type")) for name in accounts
    ]
    entries = _section(data, "guardrails").get("checks")
    for number, check in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(check, dict) and "type" in check:
            named.append((checks, f"guardrails.checks[{number}].type", check["type"]))
    wrong = check_mistakes(entries if isinstance(entries, list) else [])
    return wrong + [
        f"{path}: Unknown {registry.family} '{name}'. {did_you_mean(name, registry.names())}"
        for registry, path, name in named
        if isinstance(name, str) and name not in registry.names()
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", hint="Name another: MOORING_CONFIG=FILE."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def _overridden(
    data: dict[str, Any], environment: Mapping[str, str], sources: dict[tuple[str, ...], str]
) -> dict[str, Any]:
    data = copy.deepcopy(data)
    for name, value in sorted(environment.items()):
        if not name.startswith("MOORING_") or name in RESERVED or "__" not in name:
            continue
        keys = name.removeprefix("MOORING_").lower().split("__")
        place = data
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise ConfigError(
                    f"{name} names a part of '{key}', which is a value, not a section.",
                    hint="Unset one of the two, or correct the file.",
                )
        place[keys[-1]] = _value(value)
        sources[tuple(keys)] = name
    return data


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _explain(problem: Any, sources: dict[tuple[str, ...], str]) -> str:
    path = ".".join(str(step) for step in problem["loc"])
    source = sources.get(tuple(str(step) for step in problem["loc"]), "")
    by = f" (from {source})" if source.startswith("MOORING_") else ""
    if problem["type"] != "extra_forbidden":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}{by}"
    known = _fields_at(problem["loc"][:-1])
    return f"{path}: unknown key. {did_you_mean(str(problem['loc'][-1]), known)}{by}"


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = Config
    for step in location:
        field = getattr(model, "model_fields", {}).get(step)
        if field is not None:
            model = field.annotation
        else:  # a key of a mapping: its values' model
            arguments = getattr(model, "__args__", ())
            model = arguments[-1] if arguments else None
    return sorted(getattr(model, "model_fields", {}))
