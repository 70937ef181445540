"""Any server that speaks OpenAI's chat wire: vLLM, Ollama, llama.cpp, Groq, Together and many more."""

from ..codecs import Fields
from ..provider import Vendor


class Provider(Vendor):
    cap_field = "max_tokens"

    def patch(self, fields: Fields) -> None:
        if "max_completion_tokens" in fields:  # the older name is the one that all of them know
            fields["max_tokens"] = fields.pop("max_completion_tokens")
