"""Masks API keys, tokens, private keys and passwords in requests, answers and tool arguments, streams included."""

from typing import Literal

from pydantic import Field

from mooring.guardrails import secret_shapes
from mooring.guardrails.check import ALLOW, CheckSettings, GuardContext, GuardrailCheck, Subject, Text, Verdict


class Settings(CheckSettings):
    """`[[guardrails.checks]]` with `type = "secrets_mask"`."""

    action: Literal["mask", "block"] = Field("mask", description="Put a marker in the secret's place, or refuse.")


class Check(GuardrailCheck[Settings]):
    """Certain prefixes and shapes only; it holds no stream back but for what may still become a secret."""

    Settings = Settings
    longest_match = secret_shapes.LONGEST

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        spans = secret_shapes.find(subject.text) if isinstance(subject, Text) else ()
        if not spans:
            return ALLOW
        kinds = ", ".join(sorted({span.kind for span in spans}))
        return Verdict(action=self.settings.action, reason=f"it holds {kinds}", check=self.name, spans=spans)

    def may_match(self, document: bytes, /) -> bool:
        return secret_shapes.may_hold(document)

    def is_clear(self, text: str, /) -> bool:
        return secret_shapes.is_clear(text)

    def open_from(self, text: str, /) -> int:
        return secret_shapes.open_from(text)
