"""The reader quotes, cites and refuses."""

from hypothesis import given
from hypothesis import strategies as st

from mooring.local import Passage, read
from mooring.local.reader import REFUSAL
from mooring.local.sentence import sentence_spans, stem

HANDBOOK = (
    Passage(
        1,
        "# Refunds\n\nRefunds go to the card that paid.\n\n## Time limits\n\nA customer may return an item within"
        "\n30 days.\n",
    ),
    Passage(2, "Lamps have a warranty of 2 years; furniture has 5 years. Bulbs are not covered.", "Warranty"),
    Passage(
        3, "- Up to 50 dollars: any agent.\n- Above 500 dollars: the head of support.\n", "Refunds > Who may approve"
    ),
)


def test_an_answer_quotes_a_sentence_and_cites_its_passage() -> None:
    assert read("How long is the warranty on furniture?", HANDBOOK).text == (
        "Lamps have a warranty of 2 years; furniture has 5 years. [2]"
    )


def test_sentences_are_spans_of_their_passage() -> None:
    (sentence, *_) = read("Within how many days may a customer return an item?", HANDBOOK).sentences
    assert sentence.text == HANDBOOK[0].text[sentence.start : sentence.end]
    assert sentence.text == "A customer may return an item within\n30 days."


def test_headings_count_as_context_and_are_no_answers() -> None:
    reading = read("Who may approve a refund above 500 dollars?", HANDBOOK)
    assert reading.text.startswith("Above 500 dollars: the head of support. [3]")


def test_a_title_that_only_repeats_the_question_is_no_answer() -> None:
    passages = (Passage(1, "www-data\n\nWeb servers run as this account; it owns no files.\n", "Users"),)
    assert read("What does the user www-data do?", passages).text == (
        "Web servers run as this account; it owns no files. [1]"
    )


def test_a_question_on_another_topic_is_refused() -> None:
    for question in (
        "Who won the world cup in 1998?",
        "What is the capital of Australia?",
        "Do you have a parking garage?",
    ):
        reading = read(question, HANDBOOK)
        assert (reading.text, reading.is_answered) == (REFUSAL, False)


def test_nothing_to_read_is_refused() -> None:
    for question, passages in (("What?", ()), ("", HANDBOOK), ("?!", HANDBOOK), ("What?", (Passage(1, "# \n---"),))):
        assert read(question, passages).text == REFUSAL


def test_passages_keep_their_own_numbers() -> None:
    assert "[7]" in read("Which card gets refunds?", [Passage(7, "Refunds go to the card that paid.")]).text


def test_sentences_end_where_they_end() -> None:
    text = 'Dr. Smith paid 3.50 dollars, e.g. in cash. "Why?" she asked. He left at 5 p.m. on Monday! 次の文。また。'
    assert [text[start:end] for start, end in sentence_spans(text)] == [
        "Dr. Smith paid 3.50 dollars, e.g. in cash.",
        '"Why?" she asked.',
        "He left at 5 p.m. on Monday!",
        "次の文。",
        "また。",
    ]


def test_forms_of_a_word_have_one_stem() -> None:
    for forms in (
        "refund refunds refunded refunding",
        "reply replies replied",
        "ship shipping shipped ships",
        "class classes",
    ):
        assert len({stem(form) for form in forms.split()}) == 1


@given(st.text(max_size=300))
def test_spans_are_in_order_and_leave_no_word_out(text: str) -> None:
    position = 0
    for start, end in sentence_spans(text):
        assert position <= start < end
        assert not any(character.isalpha() for character in text[position:start])
        position = end
    assert not text[position:].strip() or not any(character.isalpha() for character in text[position:])


@given(st.text(max_size=80), st.lists(st.text(max_size=200), max_size=4))
def test_any_text_can_be_read(question: str, texts: list[str]) -> None:
    passages = [Passage(number, text) for number, text in enumerate(texts, start=1)]
    reading = read(question, passages)
    assert 0.0 <= reading.confidence <= 1.0 + 1e-9
    for sentence in reading.sentences:
        assert sentence.text == passages[sentence.number - 1].text[sentence.start : sentence.end]
