"""Tokens of one attempt: inclusive totals plus disjoint parts, whatever the provider's convention was."""

import msgspec

from .errors import UpstreamMalformed

MOST_TOKENS = 10**9  # a hundred times the largest context there is; beyond it the figure is a mistake


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider metered.

    `input_tokens` includes cached, cache-write and audio input; `output_tokens` includes reasoning and audio output.
    `units` is what is billed by something else than tokens: images, searches, seconds or characters, as the price says.
    Where a model that makes images prices their tokens apart, they stand in the place of those of audio.
    `hour_cache_write_tokens` are cache writes that are kept for an hour, where the vendor tells them apart.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    is_estimated: bool = False
    units: int = 0
    hour_cache_write_tokens: int = 0

    @property
    def has_parts(self) -> bool:
        """Whether any of it has a price of its own, maybe."""
        return bool(
            self.cached_input_tokens
            or self.reasoning_tokens
            or self.cache_write_tokens
            or self.input_audio_tokens
            or self.output_audio_tokens
        )

    def checked(self) -> "Usage":
        """Itself, if no part is negative or larger than its total.

        Raises:
            UpstreamMalformed: the provider's numbers contradict each other.
        """
        if not 0 <= self.units <= MOST_TOKENS:
            raise UpstreamMalformed(f"The provider's usage contradicts itself: {self}.", is_billable=True)
        if not self.has_parts and 0 <= self.input_tokens <= MOST_TOKENS and 0 <= self.output_tokens <= MOST_TOKENS:
            return self
        input_parts = (self.cached_input_tokens, self.cache_write_tokens, self.input_audio_tokens)
        output_parts = (self.reasoning_tokens, self.output_audio_tokens)
        if (
            min(self.input_tokens, self.output_tokens, *input_parts, *output_parts) < 0
            or max(self.input_tokens, self.output_tokens) > MOST_TOKENS
            or self.cached_input_tokens + self.cache_write_tokens > self.input_tokens
            or self.input_audio_tokens > self.input_tokens
            or max(output_parts) > self.output_tokens
        ):
            raise UpstreamMalformed(f"The provider's usage contradicts itself: {self}.", is_billable=True)
        return self
