"""The client that a configuration makes: its proxy, its authorities, its client certificate, all at once."""

import asyncio
import ssl
from pathlib import Path

import certificate
from forwarding import Forwarding
from misbehaving import Gone, Misbehaving
from misbehaving import Request as ReadRequest

from mooring.gateway.config import GatewayConfig, ProviderConfig
from mooring.gateway.outward import http_client
from mooring.net import Request

NAME = "inner.invalid"


def test_a_provider_behind_a_proxy_with_its_own_authority_is_shown_its_certificate(tmp_path: Path) -> None:
    async def scene() -> None:
        (tmp_path / "client").mkdir()
        server_tls, _ = certificate.make(tmp_path, NAME)
        certificate.make(tmp_path / "client", "mooring")
        shown, trusted = str(tmp_path / "client" / "server.pem"), str(tmp_path / "server.pem")
        server_tls.verify_mode = ssl.CERT_REQUIRED
        server_tls.load_verify_locations(cafile=shown)
        provider = ProviderConfig(
            type="openai_compatible", base_url=f"https://{NAME}/v1", ca_bundle=trusted, client_certificate=shown
        )
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        async with (
            Misbehaving([ReadRequest(), answer, Gone()], tls=server_tls) as server,
            Forwarding({f"{NAME}:443": server.port}, user="me:pw") as proxy,
        ):
            environment = {"https_proxy": proxy.url.replace("//", "//me:pw@")}
            async with http_client(GatewayConfig(providers={"inner": provider}), environment) as http:
                response = await http.send(Request("POST", f"https://{NAME}/v1/chat/completions", body=b"{}"))
                assert await response.read(9) == b"hi"
            assert proxy.asked == [f"{NAME}:443"]

    asyncio.run(scene())
