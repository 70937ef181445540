"""Google's tokens from the metadata server of the machine, the pod or the function."""

import os

from mooring.net import HttpClient, Request

from .tokens import Token, granted

_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


async def metadata(http: HttpClient) -> Token:
    """The default service account's; `GCE_METADATA_HOST` is the variable that Google's own SDK reads."""
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    request = Request("GET", f"http://{host}{_PATH}", [(b"metadata-flavor", b"Google")])
    return await granted(http, request, "Google's metadata server")
