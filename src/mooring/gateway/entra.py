"""Microsoft Entra's tokens: a workload's own token exchanged, or the machine's managed identity.

Addresses and names come from the variables that Azure itself sets, and that its SDK reads.
"""

import os
from urllib.parse import quote, urlencode

from mooring.core.errors import ConfigError
from mooring.net import HttpClient, Request

from .config import read_secret
from .tokens import Token, granted

RESOURCE = "https://cognitiveservices.azure.com"
METADATA = "http://169.254.169.254"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = [(b"content-type", b"application/x-www-form-urlencoded")]


async def workload_identity(http: HttpClient) -> Token:
    """The token that Kubernetes mounts, exchanged for one of Entra's; the file is read each time, as it changes."""
    authority = os.environ.get("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com").rstrip("/")
    tenant, client = _set("AZURE_TENANT_ID"), _set("AZURE_CLIENT_ID")
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_assertion_type": _ASSERTION,
        "client_assertion": read_secret(f"file:{_set('AZURE_FEDERATED_TOKEN_FILE')}"),
        "scope": f"{RESOURCE}/.default",
    }
    url = f"{authority}/{quote(tenant, safe='')}/oauth2/v2.0/token"
    return await granted(http, Request("POST", url, _FORM, urlencode(form).encode()), "Entra")


async def managed_identity(http: HttpClient) -> Token:
    """The identity of the virtual machine, or of the app service where that says so."""
    endpoint, secret = os.environ.get("IDENTITY_ENDPOINT"), os.environ.get("IDENTITY_HEADER")
    query = {"resource": RESOURCE}
    if os.environ.get("AZURE_CLIENT_ID"):  # one of several identities of the machine
        query["client_id"] = os.environ["AZURE_CLIENT_ID"]
    if endpoint and secret:
        url = f"{endpoint}?{urlencode({'api-version': '2019-08-01', **query})}"
        return await granted(http, Request("GET", url, [(b"x-identity-header", secret.encode())]), "the app service")
    host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", METADATA).rstrip("/")
    url = f"{host}/metadata/identity/oauth2/token?{urlencode({'api-version': '2018-02-01', **query})}"
    return await granted(http, Request("GET", url, [(b"metadata", b"true")]), "Azure's metadata endpoint")


def _set(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigError(
            f"The environment variable {name} is not set.", hint='token = "workload_identity" needs what Azure sets.'
        )
    return value
