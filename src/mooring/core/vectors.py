"""Vectors as they travel: little-endian float32, in base64 or as JSON numbers."""

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Sequence
from typing import TypeAlias

from .errors import UpstreamMalformed

Vector: TypeAlias = "array[float]"


def encode_vector(vector: bytes) -> str:
    """Base64 of little-endian float32 values."""
    return base64.b64encode(vector).decode()


def decode_vector(wire: object) -> Vector:
    """A vector from either of its two forms.

    Raises:
        UpstreamMalformed: neither base64 of float32 values nor numbers, empty, or with values that are no numbers.
    """
    vector = array("f")
    try:
        if isinstance(wire, str):
            vector.frombytes(base64.b64decode(wire, validate=True))
            if sys.byteorder == "big":
                vector.byteswap()
        elif isinstance(wire, Sequence):
            vector.extend(wire)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise UpstreamMalformed(f"An embedding is no vector: {error}.", is_billable=True) from error
    if not vector or not math.isfinite(sum(vector)):
        raise UpstreamMalformed("An embedding is empty, or holds values that are no numbers.", is_billable=True)
    return vector


def normalised(vector: Vector) -> Vector:
    """The same direction at length 1; a zero vector stays as it is."""
    length = math.sqrt(math.fsum(value * value for value in vector))
    return vector if length == 0 or abs(length - 1) < 1e-6 else array("f", (value / length for value in vector))
