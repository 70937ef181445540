"""Lets a request offer, and a model ask for, only the tools that are allowed."""

from fnmatch import fnmatchcase

from pydantic import Field

from mooring.core.messages import ChatRequest, ToolCallPart
from mooring.core.text import shorten
from mooring.guardrails.check import ALLOW, CheckSettings, GuardContext, GuardrailCheck, Subject, Verdict


class Settings(CheckSettings):
    """`[[guardrails.checks]]` with `type = "tool_allow_list"`."""

    allow: tuple[str, ...] = Field(("*",), description="Names or patterns (`search_*`); nothing else passes.")
    deny: tuple[str, ...] = Field((), description="Names or patterns that never pass, whatever `allow` says.")


class Check(GuardrailCheck[Settings]):
    """The caller's own list (`tools_allowed`) narrows it further; it never widens it."""

    Settings = Settings
    sees = frozenset({"request", "tool_call"})
    streaming = "segment"

    def check(self, subject: Subject, context: GuardContext, /) -> Verdict:
        if isinstance(subject, ChatRequest):
            names = [tool.name for tool in subject.tools]
        elif isinstance(subject, ToolCallPart):
            names = [subject.name]
        else:
            return ALLOW
        for name in names:
            if not self._allows(name, context):
                return Verdict(action="block", reason=f"the tool '{shorten(name, 64)}' is not allowed", check=self.name)
        return ALLOW

    def _allows(self, name: str, context: GuardContext) -> bool:
        if context.tools_allowed is not None and name not in context.tools_allowed:
            return False
        if any(fnmatchcase(name, pattern) for pattern in self.settings.deny):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self.settings.allow)
