"""The scripted models: each one is a pure function of the conversation.

A test adds its own with `SimServer(scripts={"name": function})`.
"""

import msgspec

from .conversation import Conversation, Failure, Function, Reply, Script, ToolCall
from .schema import Filling, instance

_SENTENCES = (
    "A mooring holds a vessel where the tide would carry it off.",
    "Lines run from the bow and the stern, and each one is checked before the night.",
    "The harbour master keeps a ledger: what was promised, what was paid, what is still open.",
    "In Malmö, Gdańsk and 横浜 the same rule holds — no ship leaves with an unsettled bill.",
    "When a storm comes up, nobody guesses; whoever cannot be found is listed as missing.",
    "In the morning the lines are counted again, and the ledger is read aloud. ⚓",
)


def echo(conversation: Conversation) -> Reply:
    """Repeats what the user said last."""
    return Reply(text=conversation.last_user_text)


def writer(conversation: Conversation) -> Reply:
    """Writes a longer text, `words` long; another choice starts at another sentence."""
    words: list[str] = []
    position = conversation.choice
    while len(words) < conversation.options.words:
        words += _SENTENCES[position % len(_SENTENCES)].split(" ")
        position += 1
    return Reply(text=" ".join(words[: conversation.options.words]))


def agent(conversation: Conversation) -> Reply:
    """Calls each offered tool `rounds` times, one a step, in order; then sums up what the tools said."""
    left = _calls_left(conversation)
    return Reply(tool_calls=(call(left[0], conversation),)) if left else _summary(conversation)


def agent_parallel(conversation: Conversation) -> Reply:
    """Calls all offered tools in one step, unless the caller forbids it; then sums up."""
    left = _calls_left(conversation)
    if left and not conversation.allows_parallel:
        left = left[:1]
    return Reply(tool_calls=tuple(call(tool, conversation) for tool in left)) if left else _summary(conversation)


def json(conversation: Conversation) -> Reply:
    """Answers JSON whatever was asked; with a schema, a minimal instance of it."""
    return Reply(text=msgspec.json.encode({"text": conversation.last_user_text}).decode())


def sloppy(conversation: Conversation) -> Reply:
    """Says what the user says, whatever form was asked for; told that it does not fit, it answers as it should."""
    if "does not fit" in conversation.last_user_text:
        return Reply(text=conversation.last_user_text)
    return Reply(text=conversation.last_user_text, is_verbatim=True)


def reasoner(conversation: Conversation) -> Reply:
    """Thinks aloud before it answers."""
    asked = conversation.last_user_text
    return Reply(
        reasoning=f"The user says: {asked[:2000]} I weigh what is known, drop what is not, and keep the rest short.",
        text=f"Having thought about it: {asked[:2000]}",
    )


def flaky(conversation: Conversation) -> Reply | Failure:
    """Fails the first attempt of each conversation, then echoes."""
    return Failure() if conversation.attempt == 1 else echo(conversation)


def down(_: Conversation) -> Failure:
    """Is never there."""
    return Failure()


def call(tool: Function, conversation: Conversation) -> ToolCall:
    """A call of the tool with arguments that its schema accepts, filled from what was said."""
    said = [message.text for message in conversation.messages if message.role in ("user", "tool")]
    value = instance(tool.parameters or {"type": "object"}, Filling("\n".join(reversed(said[-8:]))))
    return ToolCall(tool.name, msgspec.json.encode(value).decode())


def _calls_left(conversation: Conversation) -> list[Function]:
    """The tools still to be called in this turn, in order, round by round."""
    made: dict[str, int] = {}
    for message in conversation.turn:
        for made_call in message.tool_calls or ():
            made[made_call.function.name] = made.get(made_call.function.name, 0) + 1
    fewest = min((made.get(tool.name, 0) for tool in conversation.tools), default=0)
    if fewest >= conversation.options.rounds:
        return []
    return [tool for tool in conversation.tools if made.get(tool.name, 0) <= fewest]


def _summary(conversation: Conversation) -> Reply:
    """`Done. lookup: …; refund: …`: the results in the order of their calls."""
    names = {made.id: made.function.name for message in conversation.turn for made in message.tool_calls or ()}
    results = [
        f"{names.get(message.tool_call_id or '', 'tool')}: {message.text[:300]}"
        for message in conversation.turn
        if message.role == "tool"
    ]
    return Reply(text="Done. " + "; ".join(results) if results else f"Nothing to call. {conversation.last_user_text}")


SCRIPTS: dict[str, Script] = {
    "echo": echo,
    "writer": writer,
    "agent": agent,
    "agent-parallel": agent_parallel,
    "json": json,
    "reasoner": reasoner,
    "flaky": flaky,
    "down": down,
}
