"""Ids: ordered, readable, and refused when they are not ours."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core import ids
from mooring.core.clock import ManualClock
from mooring.core.errors import InvalidRequest


@given(st.binary(min_size=16, max_size=16))
def test_a_shown_id_reads_back(value: bytes) -> None:
    assert ids.read("run", ids.show("run", value)) == value


@pytest.mark.parametrize("text", ["", "run_", f"call_{0:026}", f"run_{0:025}", "run_" + "u" * 26, "run_" + "z" * 26])
def test_something_else_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ids.read("run", text)
    assert "not an id of the form run_" in str(caught.value)


def test_ids_increase_even_when_the_clock_steps_back() -> None:
    clock = ManualClock()
    source = ids.IdSource(clock)
    first = [source() for _ in range(5000)]
    clock.advance(-60)
    made = first + [source() for _ in range(5000)]
    assert made == sorted(made)
    assert all(value[6] >> 4 == 7 and value[8] >> 6 == 0b10 for value in made)


def test_ids_of_many_threads_are_different() -> None:
    source, made = ids.IdSource(), []

    def make() -> None:
        made.extend(source() for _ in range(1000))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000
