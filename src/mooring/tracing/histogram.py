"""Latencies in binary buckets: mergeable, subtractable, and small as bytes.

A bucket is a power of two of microseconds cut in four, so a figure read from it is at most 25 % too large. Only buckets
that hold something are kept: a byte of number and four of count each.
"""

import struct
from collections.abc import Iterable, Mapping

PARTS = 4  # of each power of two
MOST = 160  # 2**40 µs, twelve days
_PAIR = struct.Struct("<Bi")

Buckets = dict[int, int]


def bucket_of(microseconds: int) -> int:
    """The bucket of a duration."""
    value = max(microseconds, 1)
    octave = value.bit_length() - 1
    part = (value << 2 >> octave) & 3 if octave < 62 else 3
    return min(octave * PARTS + part, MOST)


def upper_us(bucket: int) -> int:
    """The largest duration that the bucket holds, rounded up."""
    octave, part = divmod(bucket, PARTS)
    return -(-(PARTS + part + 1) * (1 << octave) // PARTS)


def pack(buckets: Mapping[int, int]) -> bytes:
    """As a row holds them."""
    return b"".join(_PAIR.pack(bucket, count) for bucket, count in sorted(buckets.items()) if count)


def unpack(data: bytes | None) -> Buckets:
    """The opposite of `pack`."""
    return dict(_PAIR.iter_unpack(bytes(data or b"")))


def merged(all_of: Iterable[Mapping[int, int]]) -> Buckets:
    """Their sum."""
    total: Buckets = {}
    for buckets in all_of:
        for bucket, count in buckets.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def quantile_us(buckets: Mapping[int, int], share: float) -> int | None:
    """The duration that this share of them does not exceed, from above; None of nothing."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    left = max(1, -(-total * share // 1))
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return upper_us(bucket)
    return upper_us(max(buckets))
