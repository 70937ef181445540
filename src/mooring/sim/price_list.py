"""The double's price list as sections of `mooring.toml`, so that a gateway pointed at it pays the same prices."""

from .models import CATALOGUE, SimPrice


def as_toml(provider: str = "sim") -> str:
    """One table per model; `*` is the writer's price, which `writer-40words` and `agent-15ms` cost too."""
    prices = {name: model.price for name, model in CATALOGUE.items()}
    prices["*"] = prices["writer"]
    return "\n".join(_table(provider, name, price) for name, price in prices.items())


def _table(provider: str, name: str, price: SimPrice) -> str:
    lines = [f'[gateway.providers.{provider}.prices."{name}"]', 'source = "simulated"']
    for key, picos in (
        ("input_usd", price.input_picos),
        ("output_usd", price.output_picos),
        ("cached_input_usd", price.cached_input_picos),
        ("cache_write_usd", price.cache_write_picos),
        ("reasoning_usd", price.reasoning_picos),
    ):
        if picos is not None:
            lines.append(f'{key} = "{picos // 10**6}.{picos % 10**6:06d}"')
    if price.unit_picos:
        lines.append(f'unit_usd = "{price.unit_picos // 10**12}.{price.unit_picos % 10**12:012d}"')
    if price.request_nanos:
        lines.append(f'request_usd = "{price.request_nanos // 10**9}.{price.request_nanos % 10**9:09d}"')
    return "\n".join(lines) + "\n"
