"""OpenAI's models on Azure: a model is the name of a deployment, and its address knows two forms.

With `api_version` each deployment has an address of its own; without, the newer /openai/v1 takes it from the body.
"""

import os
from typing import ClassVar
from urllib.parse import quote

from mooring.core import ids

from ..codecs import Codec, ReadsHeaders
from ..config import ProviderConfig, read_secret
from ..entra import managed_identity, workload_identity
from ..provider import Vendor


class Provider(Vendor):
    api_key_env = "AZURE_OPENAI_API_KEY"
    token_kinds: ClassVar = {"workload_identity": workload_identity, "metadata": managed_identity}
    price_provider = "azure"
    media_tokens = 50_000  # the same models as OpenAI's, and the same bound

    def __init__(self, name: str, config: ProviderConfig) -> None:
        base = config.base_url or os.environ.get("AZURE_OPENAI_ENDPOINT")
        if base:  # people paste either form of it
            base = base.rstrip("/").removesuffix("/v1").removesuffix("/openai")
        super().__init__(name, config.model_copy(update={"base_url": base}))

    def authorization(self) -> list[tuple[bytes, bytes]]:
        reference = self.key_reference()
        return [] if reference is None else [(b"api-key", read_secret(reference).encode())]

    def endpoint(self, model: str, *, is_stream: bool, codec: Codec | None = None) -> str:
        path = (codec or self.codec).path_of(model, is_stream=is_stream)
        version = self.config.api_version
        if version is None:
            return f"{self._base}/openai/v1{path}"
        return f"{self._base}/openai/deployments/{quote(model, safe='')}{path}?api-version={quote(version, safe='')}"

    def headers(self, attempt_id: bytes) -> list[tuple[bytes, bytes]]:
        return [*super().headers(attempt_id), (b"x-ms-client-request-id", ids.show("att", attempt_id).encode())]

    def request_id(self, headers: ReadsHeaders) -> str | None:
        return headers.get("apim-request-id") or headers.get("x-request-id")
