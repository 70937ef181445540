"""Exports of providers, read by their columns' names."""

import pytest

from mooring.core.errors import InvalidRequest
from mooring.core.usage import Usage
from mooring.gateway.reconcile import parse_csv
from mooring.journal import MeteredUsage


def test_the_doubles_meter_is_read_by_attempt() -> None:
    text = (
        "request_id,attempt,input_tokens,cached_input_tokens,output_tokens,cost_nanos\nr1,att_1,9,2,3,77\nr2,,1,0,1,5\n"
    )
    assert parse_csv(text) == {
        "att_1": MeteredUsage(cost_nanos=77, usage=Usage(9, 3, cached_input_tokens=2)),
        "r2": MeteredUsage(cost_nanos=5, usage=Usage(1, 1)),
    }


def test_a_vendors_dollars_and_names_are_read_too() -> None:
    found = parse_csv("request_id,prompt_tokens,completion_tokens,cost_usd\nr1,10,2,0.0000012345\n")
    assert found == {"r1": MeteredUsage(cost_nanos=1235, usage=Usage(10, 2))}


def test_an_export_without_an_id_or_with_words_for_numbers_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="columns"):
        parse_csv("day,cost_usd\n1,2\n")
    with pytest.raises(InvalidRequest, match="Line 2"):
        parse_csv("request_id,input_tokens\nr1,many\n")
