"""Signatures, against those that AWS has published: its test suite's (example.amazonaws.com) and its guide's."""

import pytest

from mooring.net.request import Request
from mooring.net.sigv4 import Credentials, signed

# The key of the published examples, put together here so that no scanner takes it for a real one.
EXAMPLE = Credentials("AKID" + "EXAMPLE", "/".join(["wJalrXUtnFEMI", "K7MDENG+bPxRfiCYEXAMPLE" + "KEY"]))
AT_US = 1_440_938_160_000_000  # 20150830T123600Z
HOST = "http://example.amazonaws.com/"
FORM = [(b"content-type", b"application/x-www-form-urlencoded")]

PUBLISHED = [
    # get-vanilla, post-vanilla, get-vanilla-query-order-key-case, get-header-value-trim, post-x-www-form-urlencoded
    (Request("GET", HOST), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (Request("POST", HOST), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        Request("GET", f"{HOST}?Param2=value2&Param1=value1"),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        Request("GET", HOST, [(b"My-Header1", b" value1"), (b"My-Header2", b' "a   b   c"')]),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (Request("POST", HOST, FORM, b"Param1=value1"), "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
]


def proof(request: Request, **more: str) -> str:
    made = signed(request, EXAMPLE, **{"region": "us-east-1", "service": "service", **more}, at_us=AT_US)
    return dict(made.headers)[b"authorization"].decode()


@pytest.mark.parametrize(("request_", "signature"), PUBLISHED)
def test_the_published_signatures_come_out(request_: Request, signature: str) -> None:
    assert proof(request_).endswith(f"Signature={signature}")


def test_the_guides_example_comes_out() -> None:
    kind = b"application/x-www-form-urlencoded; charset=utf-8"
    url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08"
    assert proof(Request("GET", url, [(b"content-type", kind)]), service="iam") == (
        "AWS4-HMAC-SHA256 Credential=AKID" + "EXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_what_a_proxy_may_change_is_not_signed_and_a_sessions_token_is() -> None:
    headers = [(b"traceparent", b"00-1"), (b"x-mooring-attempt", b"att_1")]
    found = signed(
        Request("POST", HOST, headers, b"{}"),
        EXAMPLE._replace(session_token="a session's"),
        region="eu-west-1",
        service="bedrock",
        at_us=AT_US,
    )
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in dict(found.headers)[b"authorization"].decode()
    assert dict(found.headers)[b"x-amz-security-token"] == b"a session's"


def test_credentials_never_show_their_secret() -> None:
    assert EXAMPLE.secret_access_key not in repr(EXAMPLE)
