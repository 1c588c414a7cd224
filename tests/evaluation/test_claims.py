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
from stp.evaluation.claims import CLAIMS, TABLES, claims_table
from stp.evaluation.claims_text import claims_notes, claims_text, tally
from stp.evaluation.comparison import read_reported
from stp.evaluation.fused import Predictions
from stp.evaluation.scores import Scores, write_scores
from stp.evaluation.significance import holm

ROOT = Path(__file__).resolve().parents[2]
REPORTED = {name: read_reported(ROOT / f"config/reported/{name}.csv") for name in TABLES}
INPUTS = ["RGB", "OF", "WOF", "RGB+OF", "OF+WOF", "RGB+OF+WOF"]
VARIANTS = ["baseline", "1-level", "2-level", "3-level", "4-level"]
CLASSES = ("nod", "shake", "wave", "none")


def run(
    name: str,
    method: str,
    right: Sequence[int],
    labels: Sequence[int] = (),
    seed: int = 0,
    classes: tuple[str, ...] = CLASSES,
) -> Predictions:
    """A run that recognises the clips with a 1 in `right`, and takes all others for the last class."""
    true = np.array(labels or [i % 3 for i in range(len(right))])
    scores = np.eye(len(classes))[np.where(np.array(right) == 1, true, len(classes) - 1)]
    clips = tuple(f"clip{i}" for i in range(len(right)))
    return Predictions(name, method, 1, seed, classes, (), clips, true, scores)


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
    total, most, *classes = claims_table([tsn, proposed], REPORTED).to_dict("records")
    assert (total["claim"], total["reported_in"], total["verdict"]) == (
        *("The proposed method beats TSN", "table2", "holds"),
    )
    assert (total["reported_first"], total["reported_second"]) == (77.7, 81.7)
    assert (total["only_first"], total["only_second"]) == (1, 16)
    assert (most["only_first"], most["only_second"], most["p"]) == (1, 1, 1)
    assert most["measured_first"] == most["measured_second"] == pytest.approx(100 / 3, abs=1e-4)
    assert most["reported_second"] == pytest.approx(400 / 7, abs=1e-4)
    assert np.isnan(most["reported_first"])
    assert (most["family"], most["reported_in"], most["verdict"]) == ("paper", "figure6", "undecided")
    assert [row["claim"] for row in classes] == [f"The proposed method beats TSN in class {c}" for c in CLASSES[:3]]
    assert [(row["only_first"], row["only_second"]) for row in classes] == [(1, 0), (0, 0), (0, 16)]
    assert [(row["measured_first"], row["measured_second"]) for row in classes] == [(100, 87.5), (100, 100), (0, 100)]
    assert [row["p"] for row in classes] == [1, 1, pytest.approx(2 / 2**16, rel=1e-3)]
    assert [row["verdict"] for row in classes] == ["undecided", "undecided", "holds"]
    assert {row["family"] for row in classes} == {"class"}
    assert {row["reported_in"] for row in classes} == {""}
    assert all(np.isnan(row["reported_second"]) for row in classes)


def test_classes_are_tested_on_the_widest_input_that_has_both() -> None:
    runs = [run(name, v, [1] * 6) for name in ("OF", "RGB+OF") for v in ("baseline", "3-level")]
    table = claims_table([*runs, run("RGB+OF+WOF", "3-level", [1] * 6)], REPORTED)
    assert set(table.loc[table["family"] == "class", "first"]) == {"RGB+OF baseline"}


def test_a_class_is_measured_over_all_seeds_and_tested_on_the_lowest() -> None:
    """Seed 0 recognises 3 of 4 clips of a class, and seed 1 one of them: half of the tests."""
    runs = [run("OF", "3-level", right, [0] * 4, seed) for seed, right in enumerate(([1, 1, 1, 0], [0, 0, 0, 1]))]
    runs += [run("OF", "baseline", [0] * 4, [0] * 4, seed) for seed in (0, 1)]
    table = claims_table(runs, REPORTED)
    (row,) = table[table["family"] == "class"].to_dict("records")
    assert (row["measured_second"], row["only_second"]) == (50, 3)


def test_the_paper_compares_with_tsn_on_general_actions_too_which_is_a_note() -> None:
    """The figures are those of the file."""
    other = REPORTED["table3"].assign(reported=REPORTED["table3"]["reported"] - 9)
    runs = [run("RGB+OF+WOF", v, [1] * 6) for v in ("baseline", "3-level")]
    for reported, words in ((REPORTED, "69.4 → 72.6 (+3.2)"), (REPORTED | {"table3": other}, "60.4 → 63.6 (+3.2)")):
        table = claims_table(runs, reported)
        assert len(table[table["family"] == "paper"]) == 2
        notes = [note for note in claims_notes(table, runs, reported) if "Table 3 has" in note]
        assert len(notes) == 1
        assert words in notes[0]
        assert "HMDB51" in notes[0]


@pytest.mark.parametrize(("classes", "smallest"), [(4, "0.12"), (5, "0.062"), (6, ""), (7, "")])
def test_a_test_that_counts_few_classes_is_said_to_be_undecidable_only_where_it_is(classes: int, smallest: str) -> None:
    """Beside one other claim, 6 classes won give 2 / 64 = .031, which holds where the other does, too."""
    names = tuple(f"c{i}" for i in range(classes + 1))
    labels = [i for i in range(classes) for _ in range(6)]
    runs = [
        run("RGB+OF+WOF", v, [right] * len(labels), labels, classes=names)
        for right, v in enumerate(("baseline", "3-level"))
    ]
    table = claims_table(runs, REPORTED)
    (note,) = [note for note in claims_notes(table, runs, REPORTED) if note.startswith("Figure 6")]
    verdicts = dict(zip(table["reported_in"], table["verdict"], strict=True))
    assert verdicts["figure6"] == ("undecided" if smallest else "holds")
    said = f"With {classes} classes its p is never below {smallest}, which is {smallest} corrected beside" in note
    assert said == bool(smallest)
    assert ("cannot be decided" in note) == bool(smallest)


def test_what_else_there_is_to_correct_for_decides_whether_classes_can() -> None:
    """7 classes give 2 / 128 = .0156; beside 8 claims of p = 1 that is nine times as much, whatever the clips say."""
    names = tuple(f"c{i}" for i in range(8))
    labels = list(range(7)) * 2
    runs = [run(name, "3-level", [1] * 14, labels, classes=names) for name in INPUTS]
    runs += [run("RGB+OF+WOF", "baseline", [1] * 14, labels, classes=names)]
    table = claims_table(runs, REPORTED)
    assert (table["family"] == "paper").sum() == 9
    (note,) = [note for note in claims_notes(table, runs, REPORTED) if note.startswith("Figure 6")]
    assert "With 7 classes its p is never below 0.016, which is 0.14 corrected" in note


def test_families_are_corrected_and_counted_one_by_one() -> None:
    """7 clips to none are .0156: twice that if both rows were one family. Of three classes, three times that."""
    first, second = run("OF", "baseline", [0] * 7, [0] * 7), run("OF", "3-level", [1] * 7, [0] * 7)
    table = claims_table([first, second], REPORTED)
    assert table[["family", "p", "p_holm", "verdict"]].to_numpy().tolist() == [
        ["paper", 0.01562, 0.01562, "holds"],
        ["class", 0.01562, 0.01562, "holds"],
    ]
    labels = [i % 3 for i in range(21)]
    table = claims_table([run("OF", v, [n] * 21, labels) for n, v in enumerate(("baseline", "3-level"))], REPORTED)
    assert table["p_holm"].tolist() == [pytest.approx(2 / 2**21, rel=1e-3), 0.04688, 0.04688, 0.04688]


def test_each_family_has_a_table_and_a_count_of_its_own() -> None:
    runs = everything()
    learned = [replace(item, input=f"{item.input}, learned") for item in runs if "+" in item.input]
    table = claims_table([*runs, *learned], REPORTED)
    text = claims_text(table, claims_notes(table, [*runs, *learned], REPORTED))
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert [line.rpartition(": ")[0] for line in headings] == [
        "## The paper's claims",
        "## The proposed method against TSN, class by class",
        "## The claims about fusions, with learned weights",
    ]
    for line, family in zip(headings, ("paper", "class", "learned"), strict=True):
        assert line.endswith(tally(table.loc[table["family"] == family, "verdict"]))
    assert f"each table for its own number of claims ({len(CLAIMS)}, 3, 6)." in text
    _, papers, classes, fused = text.split("\n## ")
    assert "| Reported" in papers
    assert "| Reported" not in classes
    assert "| Reported" in fused


def test_the_count_says_what_holds_fails_and_is_undecided() -> None:
    assert tally(pd.Series(["holds"] * 2 + ["fails"] + ["undecided"])) == "2 of 4 hold, 1 fails, 1 is undecided"
    assert tally(pd.Series(["fails", "undecided", "fails", "undecided"])) == "0 of 4 hold, 2 fail, 2 are undecided"
    assert tally(pd.Series(["holds"])) == "1 of 1 holds"


def better_parts(**right: int) -> list[str]:
    """Notes on parts that are better than the paper's best, of 3-level runs that recognise so many of 12 clips."""
    runs = [
        run(name.replace("_", "+"), "3-level", [i < number for i in range(12)], [0] * 12)
        for name, number in right.items()
    ]
    notes = claims_notes(claims_table(runs, REPORTED), runs, REPORTED)
    return [note for note in notes if note.startswith("Here, with 3 levels")]


def test_a_part_that_is_better_than_the_papers_best_is_named_with_its_figure() -> None:
    figures = dict(zip((name.replace("+", "_") for name in INPUTS), (3, 6, 9, 9, 6, 12), strict=True))
    assert better_parts(**figures) == [
        "Here, with 3 levels, WOF alone has 75.0, more than OF (50.0), the paper's best single input.",
        "Here, with 3 levels, RGB+OF has 75.0, more than OF+WOF (50.0), the paper's best pair.",
    ]
    assert better_parts(**figures | {"WOF": 6, "RGB_OF": 6}) == []
    assert better_parts(RGB=9, OF=6, RGB_OF=9) == [
        "Here, with 3 levels, RGB alone has 75.0, more than OF (50.0), the paper's best single input."
    ]
    assert better_parts(RGB=9, OF=6) == []  # nothing is fused


def test_a_pair_of_learned_weights_that_is_better_is_named_too() -> None:
    assert better_parts(**{"OF+WOF, learned": 3, "RGB+OF, learned": 6, "RGB+OF+WOF, learned": 6}) == [
        "Here, with 3 levels, RGB+OF, learned has 50.0, more than OF+WOF, learned (25.0), the paper's best pair."
    ]


def test_classes_with_marks_of_markdown_stay_as_they_are() -> None:
    classes = ("a|b_", "none")
    runs = [run("OF", v, [1] * 3, [0] * 3, classes=classes) for v in ("baseline", "3-level")]
    table = claims_table(runs, REPORTED)
    assert table["claim"].iloc[-1] == "The proposed method beats TSN in class a|b_"
    assert "class a\\|b\\_" in claims_text(table, [])


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
    papers = table[table["family"] == "paper"]
    assert papers["claim"].tolist() == [claim.words for claim in CLAIMS]
    assert papers.duplicated(["first", "second"], keep=False).sum() == 2  # against TSN, in total and by class
    notes = claims_notes(table, predictions, REPORTED)
    assert not any("not trained" in note for note in notes)
    text = claims_text(table, notes)
    assert text.startswith("# Claims\n")
    assert text.count("\n|") == len(CLAIMS) + 2 + 3 + 2
    assert "77.7 → 81.7 (+4.0)" in text


def test_a_claim_whose_runs_are_not_trained_is_left_out_and_its_runs_are_named() -> None:
    predictions = [item for item in everything() if item.method != "4-level" and "WOF" not in item.input]
    table = claims_table(predictions, REPORTED)
    assert not table["first"].str.contains("4-level|WOF").any()
    assert table["family"].value_counts().to_dict() == {"paper": 3 * 4 + 2, "class": 3}
    (note,) = [note for note in claims_notes(table, predictions, REPORTED) if "not trained here" in note]
    assert f"{len(CLAIMS) - 14} claims are left out" in note
    assert "RGB 4-level" in note
    assert "RGB 3-level" not in note


def test_learned_fusions_are_claims_of_their_own() -> None:
    runs = everything()
    learned = [replace(item, input=f"{item.input}, learned") for item in runs if "+" in item.input]
    table, plain = claims_table([*runs, *learned], REPORTED), claims_table(runs, REPORTED)
    pd.testing.assert_frame_equal(table.iloc[: len(plain)], plain)  # corrected for themselves
    rows = table.iloc[len(plain) :]
    assert set(rows["family"]) == {"learned"}
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
    table = table[table["family"] == "paper"]
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
