"""The models that ship with Mooring, on loopback: they cost nothing."""

from ..provider import Vendor


class Provider(Vendor):
    is_own = True
    cap_field = "max_tokens"
    is_free = True
    media_tokens = 0
