"""Sources and citations."""

import re

from derive import provenance
from derive.provenance import PRICE_1958, SCHRODER_2024, THIS, Source, cite

SOURCES = [value for value in vars(provenance).values() if isinstance(value, Source)]


def test_keys_are_unique_and_entries_balanced():
    keys = [source.key for source in SOURCES]
    assert len(keys) == len(set(keys)) > 3
    for source in SOURCES:
        entry = source.bibtex()
        assert entry.count("{") == entry.count("}")
        assert re.match(rf"@misc\{{{source.key},\n", entry)


def test_sources_are_complete():
    for source in SOURCES:
        assert source.authors
        assert source.title
        assert 1800 <= source.year <= 2100
        assert source == THIS or source.locator


def test_places_print_and_do_not_change_the_work():
    place = SCHRODER_2024.at("eq. (12)")
    assert str(place) == "[schroder2024, eq. (12)]"
    assert str(SCHRODER_2024) == "[schroder2024]"
    assert place.bibtex() == SCHRODER_2024.bibtex()


def test_citations_are_sorted_once_each_and_leave_ourselves_out():
    text = cite([SCHRODER_2024.at("a"), THIS, PRICE_1958, SCHRODER_2024.at("b")])
    assert re.findall(r"@misc\{(\w+)", text) == ["price1958", "schroder2024"]
    assert cite([THIS]) == ""
