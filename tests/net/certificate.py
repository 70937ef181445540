"""A certificate for `localhost` that signs itself, made in memory: no key is ever committed, no package is needed."""

import base64
import hashlib
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

# The curve P-256 (FIPS 186-4, D.1.2.3).
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


def add(a: Point | None, b: Point | None) -> Point | None:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) if a == b else (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(factor: int) -> Point:
    total: Point | None = None
    step: Point | None = G
    while factor:
        if factor & 1:
            total = add(total, step)
        step = add(step, step)
        factor >>= 1
    assert total is not None
    return total


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 128:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + body


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytes((first * 40 + second,))
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | number & 0x7F)
        out += bytes(digits)
    return der(0x06, out)


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def pem(label: str, body: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(body).decode()}-----END {label}-----\n"


def make(folder: Path, host: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server on `host`, and of a client that trusts it; `server.pem` in the folder holds both halves."""
    private = secrets.randbelow(N - 1) + 1
    x, y = times(private)
    public = der(0x03, b"\0\x04" + x.to_bytes(32) + y.to_bytes(32))
    algorithm = sequence(oid("1.2.840.10045.4.3.2"))
    name = sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0C, host.encode()))))
    now = datetime.now(UTC)
    moments = [der(0x17, f"{now + timedelta(days=days):%y%m%d%H%M%SZ}".encode()) for days in (-1, 1)]
    extensions = sequence(
        sequence(oid("2.5.29.17"), der(0x04, sequence(der(0x82, host.encode())))),
        sequence(oid("2.5.29.19"), der(0x01, b"\xff"), der(0x04, sequence(der(0x01, b"\xff")))),
    )
    to_sign = sequence(
        der(0xA0, integer(2)),
        integer(secrets.randbits(64)),
        algorithm,
        name,
        sequence(*moments),
        name,
        sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), public),
        der(0xA3, extensions),
    )
    nonce = secrets.randbelow(N - 1) + 1
    r = times(nonce)[0] % N
    s = pow(nonce, -1, N) * (int.from_bytes(hashlib.sha256(to_sign).digest()) + r * private) % N
    certificate = pem("CERTIFICATE", sequence(to_sign, algorithm, der(0x03, b"\0" + sequence(integer(r), integer(s)))))
    key = sequence(
        integer(1), der(0x04, private.to_bytes(32)), der(0xA0, oid("1.2.840.10045.3.1.7")), der(0xA1, public)
    )
    path = folder / "server.pem"
    path.write_text(certificate + pem("EC PRIVATE" + " KEY", key))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=certificate)
