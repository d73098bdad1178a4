"""LaTeX pieces: escapes, blocks, documents."""

import pytest

from derive.latex import align, aligned, document, escape, items, output_latex

SPECIAL = "\\&%$#_{}~^<>|"


@pytest.mark.parametrize("character", SPECIAL)
def test_special_characters_are_escaped(character):
    assert escape(f"a{character}b") != f"a{character}b"
    assert escape(f"a{character}b").startswith("a\\")


def test_escaping_handles_each_character_once():
    assert escape("\\{") == r"\textbackslash{}\{"
    assert escape("plain text, 1/2") == "plain text, 1/2"


def test_blocks_hold_one_equation_a_line():
    pairs = [("a", "b"), ("c", "d")]
    assert aligned(pairs) == "\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}"
    assert align(pairs).startswith("\\begin{align*}\na &= b \\\\\n")


def test_empty_lists_print_nothing():
    assert align([]) == ""
    assert items([]) == ""


def test_document_skips_empty_sections_and_balances_its_environments():
    text = document(
        "A & B", [("One_1", items(["x", "y"])), ("Two", ""), ("3", align([("a", "b")]))]
    )
    assert r"\section*{A \& B}" in text
    assert r"\subsection*{One\_1}" in text
    assert "Two" not in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 3
    assert text.endswith("\\end{document}\n")


def test_outputs_have_names_and_others_are_set_upright():
    assert output_latex("E_test") == r"E_{\mathrm{test}}"
    assert output_latex("my_output") == r"\mathrm{my\_output}"
