"""What Vertex AI's vendors have in common: where a publisher's models live, and that a project is needed."""

from typing import ClassVar
from urllib.parse import quote

from mooring.core.errors import ConfigError

from .config import ProviderConfig
from .google_tokens import metadata
from .provider import Vendor

_MULTI_REGIONS = frozenset({"us", "eu"})


class VertexVendor(Vendor):
    """A publisher's models in a Google Cloud project."""

    publisher: ClassVar[str]
    token_kinds: ClassVar = {"metadata": metadata}

    def __init__(self, name: str, config: ProviderConfig) -> None:
        if not config.cloud_project or not config.token:
            missing = "token" if config.cloud_project else "cloud_project"
            raise ConfigError(
                f"Provider '{name}' has no {missing}.",
                hint=f'Set [gateway.providers.{name}] cloud_project = "my-project" and token = "metadata".',
            )
        region = config.region or "global"
        base = (config.base_url or _host(region)).rstrip("/")
        place = f"/v1/projects/{quote(config.cloud_project, safe='')}/locations/{quote(region, safe='')}"
        where = f"{base}{place}/publishers/{self.publisher}"
        super().__init__(name, config.model_copy(update={"base_url": where}))


def _host(region: str) -> str:
    if region == "global":
        return "https://aiplatform.googleapis.com"
    if region in _MULTI_REGIONS:
        return f"https://aiplatform.{region}.rep.googleapis.com"
    return f"https://{region}-aiplatform.googleapis.com"
