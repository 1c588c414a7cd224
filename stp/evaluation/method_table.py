"""The table of methods: all methods trained on the same clips and folds, compared with the proposed pyramid."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stp.evaluation.facts import MethodFacts
from stp.evaluation.fused import Predictions, outcomes_by_cell
from stp.evaluation.late_fusion import widest_inputs
from stp.evaluation.markdown import plain_text, table_text, version_note, with_deviation
from stp.evaluation.metrics import METRICS, fold_metrics, heading, summarise
from stp.evaluation.significance import against, corrected

FURTHER = tuple(name for name in METRICS if name not in ("class_accuracy", "accuracy"))
COLUMNS = (
    "method",
    "input",
    "pretraining",
    "clips",
    "class_accuracy",
    "class_accuracy_std",
    "accuracy",
    "accuracy_std",
    *FURTHER,
    "parameters",
    "gmac",
    "minutes",
    "only_proposed",
    "only_method",
    "p",
    "p_holm",
)

FACTS = ("pretraining", "parameters", "gmac", "minutes")  # of MethodFacts


def method_table(
    predictions: Sequence[Predictions], proposed: str, facts: Mapping[tuple[str, str], MethodFacts]
) -> pd.DataFrame:
    """One row per method and input, in the order of `facts`, which are those of `stp.evaluation.facts.method_facts`.

    pretraining                     what the weights started from
    clips                           number of tests of one seed
    class_accuracy, accuracy, _std  mean over folds and seeds, and the deviation of the folds, in percent
    FURTHER                         the other `stp.evaluation.metrics`: means over folds and seeds, in percent
    parameters, gmac, minutes       number of learnt values; billions of multiplications with additions for one segment
                                    in one crop; minutes that the training of a fold took
    only_proposed, only_method, p   McNemar's exact test against the method `proposed` on the same input or, where it
                                    does not have that, on its input with the most streams: the numbers of clips that
                                    only one of them recognises, and p; empty for the proposed method itself
    p_holm                          p corrected by Holm for the number of rows that have one
    """
    outcomes = outcomes_by_cell(predictions)
    widest = outcomes.get((widest_inputs(predictions).get(proposed, ""), proposed))
    tests = [
        against(outcomes.get((name, proposed), widest), tests, f"{name} {method}", proposed)
        for (name, method), tests in outcomes.items()
    ]
    compared = pd.DataFrame(tests, columns=["only_proposed", "only_method", "p"])
    compared = compared.astype({"only_proposed": "Int64", "only_method": "Int64", "p": float})
    keys = pd.DataFrame(list(outcomes), columns=["input", "variant"])
    summary = summarise(fold_metrics(predictions))
    table = summary.merge(pd.concat([keys, compared], axis=1), on=["input", "variant"], validate="one_to_one")
    table = table.rename(columns={"variant": "method"})
    order = {key: place for place, key in enumerate(facts)}
    places = [order[key] for key in zip(table["input"], table["method"], strict=True)]
    table = table.iloc[np.argsort(places)].reset_index(drop=True)
    table["p_holm"] = corrected(table["p"])
    table["p"] = [float(f"{p:.4g}") for p in table["p"]]
    own = [facts[key] for key in zip(table["input"], table["method"], strict=True)]
    table = table.assign(**{name: [getattr(item, name) for item in own] for name in FACTS})
    table["parameters"] = table["parameters"].astype("Int64")
    table["gmac"] = [float(f"{value:.4g}") for value in table["gmac"]]
    table["minutes"] = table["minutes"].round(3)
    figures = ["class_accuracy", "class_accuracy_std", "accuracy", "accuracy_std", *FURTHER]
    return table[list(COLUMNS)].round(dict.fromkeys(figures, 4))


def method_text(table: pd.DataFrame, proposed: str) -> str:
    """The table as Markdown; of the further metrics, those that are defined for these data and are no accuracy."""
    further = [name for name in FURTHER if name != "f1_micro" and table[name].notna().any()]
    shown = pd.DataFrame(
        {
            "Method": table["method"],
            "Input": table["input"],
            "Class accuracy": _with_deviations(table, "class_accuracy"),
            "Accuracy": _with_deviations(table, "accuracy"),
            **{heading(name): table[name].map("{:.1f}".format) for name in further},
            "Pretraining": table["pretraining"].map(plain_text),
            "Parameters": ["" if pd.isna(number) else f"{number / 1e6:.3g} M" for number in table["parameters"]],
            "GMAC": ["" if pd.isna(value) else f"{value:.3g}" for value in table["gmac"]],
            "Minutes": ["" if pd.isna(value) else f"{value:.2g}" for value in table["minutes"]],
            f"Only {proposed}": table["only_proposed"],
            "Only method": table["only_method"],
            "p": ["" if pd.isna(p) else f"{p:.2g}" for p in table["p"]],
            "corrected": ["" if pd.isna(p) else f"{p:.2g}" for p in table["p_holm"]],
        }
    )
    notes = [
        f"p: McNemar's exact test, two-sided, against {proposed} on the same input or, where it does not have that, on "
        "its input with the most streams, over all test clips. Corrected: by Holm, for the "
        f"{int(table['p'].notna().sum())} rows that have one.",
        "Parameters, GMAC and minutes are sums over the streams of an input. GMAC: billions of multiplications with "
        "additions for one segment in one crop. Minutes: training of one fold.",
        "A method whose name joins others is their late fusion (fusion.combined): the average of each clip's scores, "
        "centred and scaled to length 1.",
        version_note(),
    ]
    caption = "All methods on the same clips and folds; means over the folds in %, ± standard deviation of the folds."
    return table_text("Methods", caption, shown, notes)


def _with_deviations(table: pd.DataFrame, name: str) -> list[str]:
    return [with_deviation(*pair) for pair in zip(table[name], table[f"{name}_std"], strict=True)]


def shown_inputs(predictions: Sequence[Predictions]) -> list[tuple[str, str, str]]:
    """For each method: a name for figures, its input with the most streams, and the method."""
    return [(f"{method}, {name}", name, method) for method, name in widest_inputs(predictions).items()]
