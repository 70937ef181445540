"""How this server reaches its vendors: egress policy, proxies, authorities and client certificates, in one client."""

import ssl
from collections.abc import Mapping, Sequence

from mooring.core.errors import ConfigError
from mooring.net import EgressPolicy, HttpClient
from mooring.net.proxy import from_environment
from mooring.net.request import Origin, parse_url
from mooring.net.tls import Credentials, context_of

from .config import GatewayConfig, ProviderConfig, read_secret
from .provider import registry as vendors


def http_client(config: GatewayConfig, environment: Mapping[str, str], *, allow: Sequence[str] = ()) -> HttpClient:
    """The client of one process.

    Raises:
        ConfigError: a proxy, a bundle or a certificate that cannot be used.
    """
    bundles = () if config.ca_bundle is None else (config.ca_bundle,)
    return HttpClient(
        egress=EgressPolicy(allow=(*allow, *config.allowed_networks)),
        tls=context_of(Credentials(bundles)) if bundles else None,
        tls_of=contexts(config),
        proxies=from_environment(environment),
    )


def contexts(config: GatewayConfig) -> dict[Origin, ssl.SSLContext]:
    """The TLS contexts of providers that have authorities or a certificate of their own, by where they are.

    Raises:
        ConfigError: a file cannot be used, or one address has two of them: connections belong to an address.
    """
    everybodys = () if config.ca_bundle is None else (config.ca_bundle,)
    found: dict[Origin, tuple[str, Credentials]] = {}
    for name, provider in config.providers.items():
        if provider.ca_bundle is None and provider.client_certificate is None:
            continue
        origin, credentials = _origin(name, provider), _credentials(provider, everybodys)
        other, others = found.setdefault(origin, (name, credentials))
        if others != credentials:
            raise ConfigError(
                f"gateway.providers.{name}: it shares {origin} with '{other}', which shows another certificate.",
                hint="Give both the same certificate and bundle, or one of them another address.",
            )
    return {origin: context_of(credentials) for origin, (_, credentials) in found.items()}


def _origin(name: str, provider: ProviderConfig) -> Origin:
    url = provider.base_url or vendors.get(provider.type).base_url
    if not url:
        raise ConfigError(
            f"gateway.providers.{name}: a certificate or bundle of its own needs base_url.",
            hint="Say where its API begins.",
        )
    return parse_url(url).origin


def _credentials(provider: ProviderConfig, everybodys: tuple[str, ...]) -> Credentials:
    password = provider.client_key_password
    return Credentials(
        ca_bundles=everybodys if provider.ca_bundle is None else (*everybodys, provider.ca_bundle),
        certificate=provider.client_certificate,
        key=provider.client_key,
        password=None if password is None else read_secret(password),
    )
