"""The bound of a call: never below what any tokenizer could count."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.core.messages import ChatRequest, MediaPart, Message, TextPart, ToolResultPart, ToolSpec
from mooring.gateway.config import ProviderConfig
from mooring.gateway.provider import Vendor, registry
from mooring.gateway.size import bound


def vendor(kind: str = "openai_compatible") -> Vendor:
    return registry.get(kind)("it", ProviderConfig(type=kind, base_url="http://127.0.0.1/v1", api_key="file:/dev/null"))


def request(*parts: object, **more: object) -> ChatRequest:
    return ChatRequest(model="m", messages=(Message("user", parts),), **more)  # type: ignore[arg-type]


@given(st.text(max_size=50), st.integers(1, 9), st.integers(1, 500))
def test_text_is_bounded_by_its_bytes_and_output_by_its_cap_times_n(text: str, n: int, cap: int) -> None:
    size = len(text.encode("utf-8", "surrogatepass")) + 40
    most = bound(request(TextPart(text), n=n), size, vendor(), cap_tokens=cap)
    assert most.input_tokens >= size + vendor().message_overhead_tokens
    assert most.output_tokens == cap * n
    assert most.unbounded is None


def test_without_a_cap_the_output_is_bounded_by_what_the_model_can_write() -> None:
    most = bound(request(TextPart("x"), n=2), 10, vendor(), cap_tokens=None)
    assert most.output_tokens == 2 * vendor().config.max_output_tokens


def test_tools_add_their_overhead() -> None:
    bare = bound(request(TextPart("x")), 10, vendor(), cap_tokens=1)
    with_tools = bound(request(TextPart("x"), tools=(ToolSpec("f"),)), 10, vendor(), cap_tokens=1)
    assert with_tools.input_tokens == bare.input_tokens + vendor().tool_overhead_tokens


def test_an_inline_image_is_bounded_where_the_provider_says_what_one_can_cost() -> None:
    image = MediaPart("image", data="AA", media_type="image/png")
    assert bound(request(image), 10, vendor("openai"), cap_tokens=1).unbounded is None
    assert bound(request(image), 10, vendor("openai"), cap_tokens=1).input_tokens > 50_000
    assert bound(request(image), 10, vendor(), cap_tokens=1).unbounded is not None


def test_an_image_inside_a_tool_result_counts_too() -> None:
    result = ToolResultPart("c", (MediaPart("image", url="https://x.test/a.png"),))
    assert bound(request(result), 10, vendor("openai"), cap_tokens=1).unbounded is not None


def test_a_prediction_may_be_billed_as_output() -> None:
    most = bound(request(TextPart("x"), extra={"prediction": {"content": "y"}}), 100, vendor(), cap_tokens=5)
    assert most.output_tokens == 105
