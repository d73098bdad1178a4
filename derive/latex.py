r"""LaTeX: aligned blocks, names of outputs, and a document that compiles.

Stage: low; knows text only. Each symbolic type prints itself with these pieces.
"""

from collections.abc import Iterable, Sequence

_OUTPUTS = {
    "m": "m",
    "E_test": r"E_{\mathrm{test}}",
    "E_train": r"E_{\mathrm{train}}",
}

_PREAMBLE = r"""\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{amsmath}
\usepackage{amssymb}
\usepackage[margin=2cm]{geometry}
\allowdisplaybreaks
\begin{document}
"""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def escape(text: str) -> str:
    r"""Return plain text with LaTeX's special characters escaped.

    Example:
        >>> escape("x_0 & 100%")
        'x\\_0 \\& 100\\%'
    """
    return "".join(_ESCAPES.get(c, c) for c in text)


def output_latex(name: str) -> str:
    """Return the LaTeX name of an output; unknown names are set upright."""
    return _OUTPUTS.get(name, rf"\mathrm{{{escape(name)}}}")


def aligned(pairs: Iterable[tuple[str, str]]) -> str:
    r"""Return an ``aligned`` block of equations, one per line.

    Example:
        >>> print(aligned([("a", "b")]))
        \begin{aligned}
        a &= b
        \end{aligned}
    """
    rows = " \\\\\n".join(f"{lhs} &= {rhs}" for lhs, rhs in pairs)
    return f"\\begin{{aligned}}\n{rows}\n\\end{{aligned}}"


def align(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a top-level ``align*`` block, which may break across pages."""
    rows = " \\\\\n".join(f"{lhs} &= {rhs}" for lhs, rhs in pairs)
    return f"\\begin{{align*}}\n{rows}\n\\end{{align*}}" if rows else ""


def items(lines: Sequence[str]) -> str:
    """Return an itemised list, empty for no lines; the lines are LaTeX already."""
    if not lines:
        return ""
    rows = "\n".join(rf"\item {line}" for line in lines)
    return f"\\begin{{itemize}}\n{rows}\n\\end{{itemize}}"


def document(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a complete LaTeX document; titles are plain text, bodies are LaTeX.

    Example:
        >>> document("T", [("S", "x")]).count("section")
        2
    """
    parts = [_PREAMBLE, rf"\section*{{{escape(title)}}}"]
    for heading, body in sections:
        if body:
            parts += [rf"\subsection*{{{escape(heading)}}}", body]
    return "\n".join([*parts, r"\end{document}", ""])
