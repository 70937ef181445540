"""The outside world of tools: effects that are counted, and done once per idempotency key.

`POST /effects/NAME` performs one; with an `Idempotency-Key` that came before it performs nothing and answers the same.
"""

from typing import Any

import msgspec

from .errors import EffectsFull, KeyConflict

_MOST_EFFECTS = 100_000
_MOST_KEPT_BYTES = 4096


class Effect(msgspec.Struct):
    """One effect that was performed. `requests` counts the arrivals with its key, the first included."""

    id: int
    name: str
    key: str | None
    body: str
    performed_at_us: int
    requests: int = 1


class Effects:
    """What was performed, in order."""

    def __init__(self) -> None:
        self.performed: list[Effect] = []
        self._by_key: dict[tuple[str, str], Effect] = {}

    def perform(self, name: str, key: str | None, body: bytes, *, now_us: int) -> tuple[Effect, bool]:
        """The effect, and whether it had been performed before.

        Raises:
            KeyConflict: the key came with another body.
            EffectsFull: over 100,000 effects.
        """
        text = body[:_MOST_KEPT_BYTES].decode("utf-8", "replace")
        known = self._by_key.get((name, key)) if key else None
        if known is not None:
            if known.body != text:
                raise KeyConflict
            known.requests += 1
            return known, True
        if len(self.performed) >= _MOST_EFFECTS:
            raise EffectsFull
        effect = Effect(len(self.performed) + 1, name, key, text, now_us)
        self.performed.append(effect)
        if key:
            self._by_key[name, key] = effect
        return effect, False

    def count(self, name: str) -> int:
        """How often an effect of this name was performed."""
        return sum(effect.name == name for effect in self.performed)

    def as_json(self) -> bytes:
        """All of them: counts by name, then each."""
        counts: dict[str, int] = {}
        for effect in self.performed:
            counts[effect.name] = counts.get(effect.name, 0) + 1
        listing: dict[str, Any] = {"counts": counts, "effects": self.performed}
        return msgspec.json.encode(listing)

    def clear(self) -> None:
        """Forget everything."""
        self.performed.clear()
        self._by_key.clear()
