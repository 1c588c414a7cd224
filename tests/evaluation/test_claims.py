"""The paper's claims, on made-up predictions whose verdicts are known, and the paper's figures against its words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.evaluation.claims import CLAIMS, TABLES, claims_notes, claims_table, claims_text
from stp.evaluation.comparison import read_reported
from stp.evaluation.fused import Predictions
from stp.evaluation.scores import Scores, write_scores
from stp.evaluation.significance import holm

ROOT = Path(__file__).resolve().parents[2]
REPORTED = {name: read_reported(ROOT / f"config/reported/{name}.csv") for name in TABLES}
INPUTS = ["RGB", "OF", "WOF", "RGB+OF", "OF+WOF", "RGB+OF+WOF"]
VARIANTS = ["baseline", "1-level", "2-level", "3-level", "4-level"]
CLASSES = ("nod", "shake", "wave", "none")


def run(name: str, method: str, right: Sequence[int], labels: Sequence[int] = (), seed: int = 0) -> Predictions:
    """A run that recognises the clips with a 1 in `right`, and takes all others for class none, which no clip is of."""
    true = np.array(labels or [i % 3 for i in range(len(right))])
    scores = np.eye(4)[np.where(np.array(right) == 1, true, 3)]
    clips = tuple(f"clip{i}" for i in range(len(right)))
    return Predictions(name, method, 1, seed, CLASSES, (), clips, true, scores)


def only_row(*predictions: Predictions) -> "pd.Series[float]":
    table = claims_table(predictions, REPORTED)
    assert len(table) == 1
    return table.iloc[0]


def test_a_claim_holds_where_the_second_alone_recognises_twelve_clips() -> None:
    row = only_row(run("RGB", "baseline", [1] * 12 + [0] * 12), run("RGB", "1-level", [1] * 24))
    assert (row["claim"], row["input"]) == ("1 level beats the baseline", "RGB")
    assert (row["first"], row["second"]) == ("RGB baseline", "RGB 1-level")
    assert (row["reported_first"], row["reported_second"], row["reported_difference"]) == (54.4, 58.1, 3.7)
    assert (row["measured_first"], row["measured_second"], row["measured_difference"]) == (50, 100, 50)
    assert (row["only_first"], row["only_second"]) == (0, 12)
    assert row["p"] == row["p_holm"] == pytest.approx(2 / 2**12, rel=1e-3)
    assert row["verdict"] == "holds"


def test_a_claim_fails_where_the_first_alone_recognises_twelve_clips() -> None:
    row = only_row(run("RGB", "baseline", [1] * 24), run("RGB", "1-level", [1] * 12 + [0] * 12))
    assert (row["measured_difference"], row["only_first"], row["only_second"]) == (-50, 12, 0)
    assert row["verdict"] == "fails"


def test_four_levels_that_beat_three_refute_the_paper() -> None:
    row = only_row(run("OF", "3-level", [0] * 12), run("OF", "4-level", [1] * 12))
    assert (row["first"], row["second"]) == ("OF 4-level", "OF 3-level")
    assert (row["claim"], row["verdict"]) == ("3 levels beat 4 levels", "fails")


def test_a_claim_is_undecided_where_five_clips_differ() -> None:
    """All five for the second: p = 2 / 32."""
    row = only_row(run("RGB", "baseline", [1] * 7 + [0] * 5), run("RGB", "1-level", [1] * 12))
    assert (row["p"], row["verdict"]) == (0.0625, "undecided")
    row = only_row(run("RGB", "baseline", [1] * 12), run("RGB", "1-level", [1] * 12))
    assert (row["p"], row["verdict"]) == (1, "undecided")


def test_a_claim_is_undecided_where_clips_and_class_accuracy_disagree() -> None:
    """20 of 100 clips of a large class are won, 2 of 4 of a small one lost: .8 and 1 become 1 and .5."""
    labels = [0] * 100 + [1] * 4
    row = only_row(
        run("RGB", "baseline", [1] * 80 + [0] * 20 + [1] * 4, labels),
        run("RGB", "1-level", [1] * 100 + [1, 1, 0, 0], labels),
    )
    assert (row["only_first"], row["only_second"], row["measured_difference"]) == (2, 20, -15)
    assert row["p"] < 0.001
    assert row["verdict"] == "undecided"


def test_holms_correction_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.4, 0.9])).tolist() == pytest.approx([0.8, 0.9])
    assert holm(np.array([])).tolist() == []


def test_the_number_of_claims_takes_its_toll() -> None:
    """7 clips to none are p = 2 / 128 = .016, which holds alone; with three other claims it is four times that."""
    first, second = run("RGB", "baseline", [0] * 7), run("RGB", "1-level", [1] * 7)
    assert only_row(first, second)["verdict"] == "holds"
    runs = [run("OF", "3-level", [1] * 7), run("WOF", "3-level", [1] * 7), run("RGB+OF", "3-level", [1] * 7)]
    table = claims_table([first, second, *runs], REPORTED)
    assert table["p_holm"].tolist() == [0.04688, 1, 1]
    runs.append(run("OF+WOF", "3-level", [1] * 7))
    table = claims_table([first, second, *runs], REPORTED)
    assert table["p_holm"].tolist() == [0.0625, 1, 1, 1]
    assert set(table["verdict"]) == {"undecided"}


def test_the_lowest_seed_is_tested_and_all_seeds_are_averaged() -> None:
    right = [0] * 12, [1] * 12
    row = only_row(
        *(run("OF", "baseline", right[0], seed=seed) for seed in (3, 4)),
        *(run("OF", "1-level", right[seed == 3], seed=seed) for seed in (3, 4)),
    )
    assert (row["only_second"], row["measured_first"], row["measured_second"]) == (12, 0, 50)


def test_inputs_are_compared_with_three_levels() -> None:
    table = claims_table(
        [run(name, "3-level", [i < 2 * n for i in range(12)]) for n, name in enumerate(INPUTS)], REPORTED
    )
    assert list(zip(table["first"], table["second"], strict=True)) == [
        ("RGB 3-level", "OF 3-level"),
        ("WOF 3-level", "OF 3-level"),
        ("OF 3-level", "RGB+OF 3-level"),
        ("OF 3-level", "OF+WOF 3-level"),
        ("OF 3-level", "RGB+OF+WOF 3-level"),
        ("RGB+OF 3-level", "RGB+OF+WOF 3-level"),
        ("OF+WOF 3-level", "RGB+OF+WOF 3-level"),
    ]
    assert table["reported_difference"].tolist() == [19.8, 3.2, 0.8, 1.6, 1.9, 1.1, 0.3]
    assert (table["only_second"] - table["only_first"]).tolist() == [2, -2, 4, 6, 8, 4, 2]


def test_proposed_and_tsn_are_compared_in_total_and_by_class() -> None:
    """Of three classes with clips one is lost by one clip, one is equal, and one is won by 16."""
    labels = [0] * 8 + [1] * 8 + [2] * 16
    tsn = run("RGB+OF+WOF", "baseline", [1] * 16 + [0] * 16, labels)
    proposed = run("RGB+OF+WOF", "3-level", [0] + [1] * 31, labels)
    rows = {row["reported_in"]: row for row in claims_table([tsn, proposed], REPORTED).to_dict("records")}
    assert list(rows) == ["table2", "figure6", "table3"]
    assert (rows["table2"]["reported_first"], rows["table2"]["reported_second"]) == (77.7, 81.7)
    assert (rows["table3"]["reported_first"], rows["table3"]["reported_second"]) == (69.4, 72.6)
    for name in ("table2", "table3"):
        assert (rows[name]["only_first"], rows[name]["only_second"], rows[name]["verdict"]) == (1, 16, "holds")
    by_class = rows["figure6"]
    assert (by_class["only_first"], by_class["only_second"], by_class["p"]) == (1, 1, 1)
    assert by_class["measured_first"] == by_class["measured_second"] == pytest.approx(100 / 3, abs=1e-4)
    assert by_class["reported_second"] == pytest.approx(400 / 7, abs=1e-4)
    assert np.isnan(by_class["reported_first"])
    assert by_class["verdict"] == "undecided"


def everything() -> list[Predictions]:
    """30 runs; the more inputs and levels, the more clips are recognised."""
    return [
        run(name, v, [i < 3 * n + m for i in range(24)])
        for n, name in enumerate(INPUTS)
        for m, v in enumerate(VARIANTS)
    ]


def test_all_claims_are_tested_where_everything_is_trained() -> None:
    predictions = everything()
    table = claims_table(predictions, REPORTED)
    assert table["claim"].tolist() == [claim.words for claim in CLAIMS]
    assert not table.duplicated(["first", "second", "reported_in"]).any()
    notes = claims_notes(table, predictions, REPORTED)
    assert not any("not trained" in note for note in notes)
    text = claims_text(table, notes)
    assert text.startswith("# Claims\n")
    assert text.count("\n|") == len(CLAIMS) + 2
    assert "77.7 → 81.7 (+4.0)" in text


def test_a_claim_whose_runs_are_not_trained_is_left_out_and_its_runs_are_named() -> None:
    predictions = [item for item in everything() if item.method != "4-level" and "WOF" not in item.input]
    table = claims_table(predictions, REPORTED)
    assert not table["first"].str.contains("4-level|WOF").any()
    assert len(table) == 3 * 4 + 2
    (note,) = [note for note in claims_notes(table, predictions, REPORTED) if "not trained here" in note]
    assert f"{len(CLAIMS) - 14} claims are left out" in note
    assert "RGB 4-level" in note
    assert "RGB 3-level" not in note


def test_learned_fusions_are_claims_of_their_own() -> None:
    runs = everything()
    learned = [replace(item, input=f"{item.input}, learned") for item in runs if "+" in item.input]
    table, plain = claims_table([*runs, *learned], REPORTED), claims_table(runs, REPORTED)
    assert table["claim"].tolist()[: len(plain)] == plain["claim"].tolist()
    rows = table.iloc[len(plain) :]
    assert list(zip(rows["first"], rows["second"], strict=True)) == [
        ("OF 3-level", "RGB+OF, learned 3-level"),
        ("OF 3-level", "OF+WOF, learned 3-level"),
        ("OF 3-level", "RGB+OF+WOF, learned 3-level"),
        ("RGB+OF, learned 3-level", "RGB+OF+WOF, learned 3-level"),
        ("OF+WOF, learned 3-level", "RGB+OF+WOF, learned 3-level"),
        ("RGB+OF+WOF, learned baseline", "RGB+OF+WOF, learned 3-level"),
    ]
    assert rows["reported_difference"].tolist() == [0.8, 1.6, 1.9, 1.1, 0.3, 4.0]


def test_no_claim_at_all_is_a_table_without_rows() -> None:
    predictions = [run("RGB", "3-level", [1, 0])]
    table = claims_table(predictions, REPORTED)
    assert table.empty
    assert "corrected" in claims_text(table, claims_notes(table, predictions, REPORTED))


def test_runs_of_other_clips_are_refused() -> None:
    with pytest.raises(UserError, match="scores of RGB 1-level and of RGB baseline are of other folds"):
        claims_table([run("RGB", "baseline", [1, 0]), run("RGB", "1-level", [1, 0, 1])], REPORTED)


def printed() -> pd.DataFrame:
    """Table 1 as the paper prints it: inputs downwards, variants across."""
    table = REPORTED["table1"]
    assert set(table["metric"]) == {"class_accuracy"}
    assert len(table) == 30
    table = table.assign(input=table["streams"].str.upper())
    return table.pivot(index="input", columns="variant", values="reported").loc[INPUTS, VARIANTS]


def test_table_1_says_what_the_papers_text_says() -> None:
    table = printed()
    assert table.notna().all(axis=None)
    levels = table.drop(columns="baseline")
    assert (levels.gt(table["baseline"], axis=0)).all(axis=None)  # outperforms the baseline on each input modality
    assert set(table.idxmax(axis=1)) == {"3-level"}  # highest accuracies with 3 levels
    assert (table.loc["WOF"] < table.loc["OF"]).all()  # WOF leads to lower accuracies than OF
    assert table.loc["RGB+OF+WOF", "3-level"] == table.max(axis=None) == 81.7  # the highest accuracy, 81.7 %
    for streams, fused in ((["RGB", "OF"], "RGB+OF"), (["OF", "WOF"], "OF+WOF"), (["RGB", "OF", "WOF"], "RGB+OF+WOF")):
        assert (table.loc[streams].max() < table.loc[fused]).all()  # fusing is better than a single modality


def test_tables_1_and_2_agree_and_gains_over_tsn_are_those_of_the_text() -> None:
    fused = printed().loc["RGB+OF+WOF"]
    two, three = (REPORTED[name].set_index("method")["reported"] for name in ("table2", "table3"))
    assert [fused["baseline"], fused["3-level"]] == [two["TSN [3]"], two["Proposed"]]
    assert two["Proposed"] - two["TSN [3]"] == pytest.approx(4.0)
    assert three["Proposed"] - three["TSN [3]"] == pytest.approx(3.2)


def test_every_claim_is_true_of_the_papers_own_figures() -> None:
    table = claims_table(everything(), REPORTED)
    assert (table["reported_difference"].dropna() > 0).all()
    assert table.loc[table["reported_difference"].isna(), "reported_in"].tolist() == ["figure6"]


def write_runs(folder: Path) -> list[str]:
    """Scores of RGB, baseline and 1-level, which alone recognises its twelve clips."""
    paths = []
    for method, predicted in (("baseline", 1), ("1-level", 0)):
        values = np.eye(2, dtype=np.float32)[np.full(12, predicted)][:, None]
        clips = tuple(f"clip{i}" for i in range(12))
        scores = Scores(RunName("rgb", method, 1), ("nod", "wave"), clips, np.zeros(12, np.int64), values)
        write_scores(folder / f"{method}.h5", scores, {})
        paths.append(str(folder / f"{method}.h5"))
    return paths


def test_the_command_writes_csv_and_text(tmp_path: Path) -> None:
    options = [word for name in TABLES for word in ("--reported", str(ROOT / f"config/reported/{name}.csv"))]
    output = ["-o", str(tmp_path / "claims.csv"), "--text", str(tmp_path / "claims.md")]
    result = CliRunner().invoke(app, ["claims", *write_runs(tmp_path), *options, *output])
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "claims.csv")
    assert table[["first", "second", "verdict"]].to_numpy().tolist() == [["RGB baseline", "RGB 1-level", "holds"]]
    assert "54.4 → 58.1 (+3.7)" in (tmp_path / "claims.md").read_text()
    result = CliRunner().invoke(app, ["claims", *write_runs(tmp_path), *options[:2], *output])
    assert str(result.exception) == "--reported: table2.csv is missing; give table1.csv, table2.csv, table3.csv"


def test_table_1_for_reading_has_the_papers_figures_only_on_request(tmp_path: Path) -> None:
    arguments = ["table1", *write_runs(tmp_path), "-o", str(tmp_path / "t.csv"), "--long", str(tmp_path / "l.csv")]
    for name, options in {"plain": [], "printed": ["--reported", str(ROOT / "config/reported/table1.csv")]}.items():
        result = CliRunner().invoke(app, [*arguments, "--text", str(tmp_path / f"{name}.md"), *options])
        assert result.exit_code == 0, result.output
    plain, shown = ((tmp_path / f"{name}.md").read_text() for name in ("plain", "printed"))
    assert "| RGB              | 0.0 (54.4) | 100.0 (58.1) |" in shown
    assert "In brackets: Mi and Wang 2019, Table 1, of PEV micro actions, second person." in shown
    assert "(" not in plain.split("\n- ")[0]
    assert "brackets" not in plain
