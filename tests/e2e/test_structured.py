"""The battery of malformed answers, small."""

from mooring.verify.structured import structured


def test_malformed_answers_become_valid_or_are_refused_and_the_ledger_adds_up() -> None:
    report = structured(answers=60, log=lambda line: None)
    assert report.holds, report.lines()
    assert report.mended + report.repaired + report.moved + report.refused == 60
    assert report.repaired > 0
    assert report.facts()["holds"] is True
