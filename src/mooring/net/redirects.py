"""The next request after a redirect, or none."""

from urllib.parse import urljoin

from mooring.core.errors import EgressDenied, UpstreamMalformed

from .request import Request, parse_url
from .response import Response

# What proves who we are must not follow to another origin.
_CREDENTIALS = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"api-key",
        b"x-api-key",
        b"x-goog-api-key",
        b"x-amz-security-token",
    }
)
_ABOUT_BODY = frozenset({b"content-type", b"content-encoding", b"content-language"})


def next_request(request: Request, response: Response) -> Request | None:
    """What to send next; None where the response is the answer.

    307 and 308 repeat the request, 303 asks for the answer with GET, 301 and 302 are followed for GET and HEAD only:
    whether they mean to repeat a POST, nobody can say.

    Raises:
        UpstreamMalformed: no usable address.
        EgressDenied: from https down to http.
    """
    if not request.redirects or response.status not in {301, 302, 303, 307, 308}:
        return None
    is_read = request.method in {"GET", "HEAD"}
    if response.status in {301, 302} and not is_read:
        return None
    location = response.headers.get("location")
    if location is None:
        raise UpstreamMalformed(
            f"A {response.status} redirect came without a location.", upstream_status=response.status
        )
    url = urljoin(request.url, location)
    here, there = parse_url(request.url).origin, parse_url(url).origin
    if here.scheme == "https" and there.scheme == "http":
        raise EgressDenied(f"{here} redirects to {there}, without TLS.", hint="Use the address that it should lead to.")
    headers = request.headers
    if here != there:
        headers = [line for line in headers if line[0].lower() not in _CREDENTIALS]
    following = request._replace(url=url, headers=headers, redirects=request.redirects - 1)
    if response.status == 303 and not is_read:
        kept = [line for line in headers if line[0].lower() not in _ABOUT_BODY]
        return following._replace(method="GET", body=b"", headers=kept)
    return following
