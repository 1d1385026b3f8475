"""The coefficients of steps that are taken in R are the library's."""

from rscripts.tableaus import FILE, text


def test_the_coefficients_in_r_are_those_of_the_library():
    assert FILE.read_text(encoding="utf-8") == text(), "run: python rscripts/tableaus.py"
