"""Money: integers only, rounded up once, never more than what was held."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mooring.core.money import Price, nanos, picos_per_token, show_usd, usd
from mooring.core.usage import Usage

picos = st.integers(0, 10**9)
maybe = st.none() | picos


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    total_in, total_out = draw(st.integers(0, 10**7)), draw(st.integers(0, 10**7))
    cached = draw(st.integers(0, total_in))
    write = draw(st.integers(0, total_in - cached))
    reasoning = draw(st.integers(0, total_out))
    return Usage(
        input_tokens=total_in,
        output_tokens=total_out,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
    ).checked()


prices = st.builds(
    Price,
    input_picos=picos,
    output_picos=picos,
    cached_input_picos=maybe,
    cache_write_picos=maybe,
    reasoning_picos=maybe,
    request_nanos=st.integers(0, 10**6),
)


@given(prices, usages())
def test_a_cost_is_the_exact_sum_rounded_up_once(price: Price, usage: Usage) -> None:
    def of(part: int | None, total: int) -> int:
        return total if part is None else part

    plain_in = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    exact = Fraction(
        plain_in * price.input_picos
        + usage.cached_input_tokens * of(price.cached_input_picos, price.input_picos)
        + usage.cache_write_tokens * of(price.cache_write_picos, price.input_picos)
        + (usage.output_tokens - usage.reasoning_tokens) * price.output_picos
        + usage.reasoning_tokens * of(price.reasoning_picos, price.output_picos),
        1000,
    )
    assert 0 <= price.cost_nanos(usage) - price.request_nanos - exact < 1


@given(prices, usages(), st.integers(0, 1000), st.integers(0, 1000))
def test_what_is_held_covers_every_usage_within_the_bound(
    price: Price, usage: Usage, more_in: int, more_out: int
) -> None:
    held = price.most_nanos(usage.input_tokens + more_in, usage.output_tokens + more_out)
    assert price.cost_nanos(usage) <= held


def test_a_list_price_becomes_whole_picos() -> None:
    assert picos_per_token("0.25") == 250_000
    assert picos_per_token(Decimal("0.0000001")) == 1


def test_an_amount_below_a_cent_is_shown_whole() -> None:
    assert show_usd(123_400) == "$0.000123400"
    assert show_usd(-1) == "-$0.000000001"
    assert nanos("1.5") == 1_500_000_000


def test_dollars_print_as_plain_decimals_however_small() -> None:
    small = usd(900)
    assert (str(small), f"{small}", f"{small:.2f}") == ("0.000000900", "0.000000900", "0.00")
    assert str(small + small) == str(sum([small, small])) == str(2 * small) == "0.000001800"
    assert str(small - small) == "0.000000000"
    assert small == Decimal("9E-7")
