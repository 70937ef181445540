"""Words of a text, and the English ones that carry its grammar but not its subject."""

import re

WORD = re.compile(r"\w+")

# A question's function words say how it is asked, not what about; searching for them only adds noise.
FUNCTION_WORDS = frozenset(
    "a about after all also am an and any are as at be been before being between both but by can could did do does "  # noqa: SIM905
    "doing during each for from had has have having he her here hers him his how i if in into is it its itself just "
    "let may me might more most must my no nor not of off on once only or other our out over own same shall she should "
    "so some such than that the their them then there these they this those through to too under until up us very was "
    "we were what when where which while who whom whose why will with would you your".split()
)


def content_words(text: str) -> list[str]:
    """The words that say what a question is about, in order and with repeats; all its words if there are no such."""
    found = WORD.findall(text)
    return [word for word in found if word.lower() not in FUNCTION_WORDS] or found
