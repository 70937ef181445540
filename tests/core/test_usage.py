"""Usage: parts never exceed their totals."""

import pytest

from mooring.core.errors import UpstreamMalformed
from mooring.core.usage import Usage


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10, cached_input_tokens=11),
        Usage(input_tokens=10, cached_input_tokens=6, cache_write_tokens=5),
        Usage(output_tokens=3, reasoning_tokens=4),
        Usage(input_tokens=-1),
        Usage(output_tokens=3, output_audio_tokens=4),
    ],
)
def test_a_usage_that_contradicts_itself_is_refused_and_counts_as_paid(usage: Usage) -> None:
    with pytest.raises(UpstreamMalformed) as caught:
        usage.checked()
    assert caught.value.is_billable
