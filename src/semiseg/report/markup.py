"""The table as Markdown and as LaTeX."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from semiseg.report.cells import (
    CONVENTIONS,
    COUNTS,
    DATA,
    METRICS,
    UNDEFINED,
    heading,
    is_control,
    ranks,
    under,
    with_spread,
)
from semiseg.report.words import rule_in_words

NOTE = (
    "Organ columns are Dice in percent. Best bold, second best underlined; rows marked as controls do not compete."
    " n: test cases; absent, missed, false positive: pairs of case and organ."
)
TEX_SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", **{sign: "\\" + sign for sign in "&%$#_{}"}, "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "±": r"$\pm$", UNDEFINED: "--", "×": r"$\times$", "≥": r"$\geq$", "−": "$-$"}
)


def printed_columns(spec: Mapping[str, Any]) -> list[str]:
    """Columns with scores: the organs (a single organ is the mean itself), then the means that the table asks for."""
    organs = [organ["abbreviation"] for organ in spec["organs"]]
    return (organs if len(organs) > 1 else []) + [METRICS[metric] for metric in spec["metrics"]]


def markdown(spec: Mapping[str, Any], table: pd.DataFrame) -> str:
    """The table under both conventions, best bold, second underlined, controls in italics at the end."""
    marks = {"best": "**{}**", "second": "<ins>{}</ins>", "control": "*{}*"}
    lines = [f"# {spec['title']}", ""]
    if spec["paper"]:
        lines += [f"After {spec['paper']}.", ""]
    for convention in CONVENTIONS:
        frame = under(table, convention)
        head, body = _grid(spec, frame, lambda text, mark: marks.get(mark, "{}").format(_escape_markdown(text)))
        lines += [f"## {convention.capitalize()} convention", "", rule_in_words(frame["rule"][0]), ""]
        align = ["---", *["---:"] * (len(head) - 1)]
        rows = [[_escape_markdown(text) for text in head], align, *body]
        lines += [*("| " + " | ".join(cells) + " |" for cells in rows), ""]
    lines += [NOTE, ""]
    return "\n".join(lines)


def latex(spec: Mapping[str, Any], table: pd.DataFrame) -> str:
    """One floating table per convention for booktabs and xcolor, best bold, second underlined, controls grey."""
    marks = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "control": r"\textcolor{gray}{%s}"}
    parts = [r"% needs \usepackage{booktabs,graphicx,xcolor}"]
    for convention in CONVENTIONS:
        frame = under(table, convention)
        head, body = _grid(spec, frame, lambda text, mark: marks.get(mark, "%s") % text.translate(TEX_SPECIAL))
        rows = [" & ".join(cells) + r" \\" for cells in body]
        controls = sum(map(is_control, frame["method"]))
        if 0 < controls < len(rows):
            rows.insert(len(rows) - controls, r"\midrule")
        caption = f"{spec['title']}, {convention} convention. {rule_in_words(frame['rule'][0])} {NOTE}".translate(
            TEX_SPECIAL
        )
        parts += [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{spec['table']}:{convention}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(text.translate(TEX_SPECIAL) for text in head) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
        ]
    return "\n".join([*parts, ""])


def _grid(
    spec: Mapping[str, Any], frame: pd.DataFrame, dress: Callable[[str, str], str]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of cell texts; ``dress`` turns a text and its mark (best, second, control) into markup."""
    columns = printed_columns(spec)
    unit = frame["unit"][0]
    head = ["Method", *DATA.values(), *(heading(column, unit) for column in columns), *COUNTS.values()]
    places = {column: ranks(frame, column) for column in columns}
    body = []
    for row, method in enumerate(frame["method"]):
        control = "control" if is_control(method) else ""
        texts = [frame["label"][row] + (" (control)" if control else ""), *(str(frame[name][row]) for name in DATA)]
        cells = [dress(text, control) for text in texts]
        cells += [dress(with_spread(frame, row, name), control or places[name][row]) for name in columns]
        body.append([*cells, *(dress(str(frame[name][row]), control) for name in COUNTS)])
    return head, body


def _escape_markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
