"""Tables for reading: Markdown with a heading, a caption, the table and notes below it."""

from collections.abc import Sequence

import pandas as pd


def with_deviation(value: float, deviation: float, digits: int = 1) -> str:
    """`81.7 ± 0.4`; without the deviation where there is none (NaN), and empty where there is no value."""
    if pd.isna(value):
        return ""
    return f"{value:.{digits}f}" + ("" if pd.isna(deviation) else f" ± {deviation:.{digits}f}")


def table_text(title: str, caption: str, table: pd.DataFrame, notes: Sequence[str]) -> str:
    """The file; cells that are empty or missing stay empty."""
    cells = table.astype(object).where(table.notna(), "")
    lines = [f"# {title}", "", caption, "", cells.to_markdown(index=False, disable_numparse=True), ""]
    return "\n".join(lines + [f"- {note}" for note in notes]) + "\n"
