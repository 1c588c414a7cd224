"""The cards of the page: their figures and words, on made-up tables."""

import pandas as pd
import pytest

from stp.data.run_name import RunName
from stp.overview.cards import health_card, p_words, result_cards, stars
from stp.overview.health import BLIND, RunHealth

STATISTICS = pd.DataFrame(
    [
        *[("RGB", "baseline", 40.0, 30.0, 50.0, None, None, float("nan")), ("RGB", "3-level", 50, 40, 60, 5, 15, 0.04)],
        *[("OF", "baseline", 60.0, 50.0, 70.0, None, None, float("nan")), ("OF", "3-level", 80, 72, 86, 2, 22, 0.0001)],
        ("RGB+OF", "baseline", 58.0, 48.0, 68.0, None, None, float("nan")),
        ("RGB+OF", "3-level", 77, 70, 84, 3, 22, 0.0002),
    ],
    columns=["input", "variant", "class_accuracy", "low", "high", "only_baseline", "only_variant", "p_holm"],
)
COLUMNS = ["question", "first", "second", "difference", "only_first", "only_second", "p_holm"]
DIFFERENCES = pd.DataFrame(
    [
        ("best", "RGB+OF 3-level", "OF 3-level", 3.0, 4, 7, 0.55),
        ("inputs", "OF 3-level", "RGB+OF 3-level", -3.0, 7, 4, 0.549),
    ],
    columns=COLUMNS,
)


def words(text: str) -> str:
    return text.replace("\xa0", " ")


def test_cards_say_what_is_best_and_how_sure_that_is() -> None:
    best, second, pyramid, fusion = result_cards(STATISTICS, DIFFERENCES, "3-level")
    assert (best.title, best.value, best.words) == ("Best", "80.0 %", "OF, 3-level")
    assert best.note == "95 % interval 72.0 to 86.0"
    assert (second.value, second.words) == ("77.0 %", "RGB+OF, 3-level")
    assert words(second.note) == "3.0 behind the best; p = .550, may be chance"
    assert (pyramid.title, pyramid.value, pyramid.words) == ("3-level over baseline", "+20.0", "points, OF")
    assert words(pyramid.note) == "22 clips won, 2 lost; p < .001, more than chance"
    assert (fusion.title, fusion.value) == ("Fusion over OF alone", "-3.0")
    assert words(fusion.note) == "4 clips won, 7 lost; p = .549, may be chance"


def test_fusion_is_that_of_the_best_cell_if_it_is_fused() -> None:
    learned = pd.DataFrame(
        [("RGB+OF, learned", "3-level", 85.0, 78.0, 90.0, None, None, float("nan"))], columns=STATISTICS.columns
    )
    rows = [
        ("best", "RGB+OF, learned 3-level", "OF 3-level", 5.0, 9, 3, 0.03),
        ("inputs", "OF 3-level", "RGB+OF, learned 3-level", 5.0, 3, 9, 0.04),
    ]
    differences = pd.concat([DIFFERENCES, pd.DataFrame(rows, columns=COLUMNS)])
    fusion = result_cards(pd.concat([STATISTICS, learned]), differences, "3-level")[-1]
    assert (fusion.title, fusion.value, fusion.words) == (
        "Fusion over OF alone",
        "+5.0",
        "points, RGB+OF, learned, 3-level",
    )
    assert words(fusion.note) == "9 clips won, 3 lost; p = .040, more than chance"


def test_a_pair_reads_the_same_from_its_other_side() -> None:
    turned = pd.DataFrame([("inputs", "RGB+OF 3-level", "OF 3-level", 3.0, 4, 7, 0.549)], columns=COLUMNS)
    both = [result_cards(STATISTICS, pd.concat([DIFFERENCES[:1], rows]), "3-level") for rows in (DIFFERENCES, turned)]
    assert both[0] == both[1]


def test_cards_that_have_no_answer_are_left_out() -> None:
    alone = STATISTICS[(STATISTICS["input"] == "RGB") & (STATISTICS["variant"] == "3-level")]
    assert [card.title for card in result_cards(alone, DIFFERENCES[:0], "3-level")] == ["Best"]
    baseline = STATISTICS[(STATISTICS["input"] == "RGB") & (STATISTICS["variant"] == "baseline")]
    assert [card.title for card in result_cards(baseline, DIFFERENCES[:0], "baseline")] == ["Best"]


@pytest.mark.parametrize(
    ("p", "read", "mark"),
    [
        (0.0000001, "p < .001", "***"),
        (0.0123, "p = .012", "*"),
        (0.002, "p = .002", "**"),
        (0.05, "p = .050", "n.s."),
        (1, "p = 1", "n.s."),
    ],
)
def test_a_p_is_read_as_a_figure_and_a_mark(p: float, read: str, mark: str) -> None:
    assert (words(p_words(p)), stars(p)) == (read, mark)


def test_the_card_of_health_counts_runs_by_state_and_input() -> None:
    def run(name: str, state: str, never: tuple[str, ...] = ()) -> RunHealth:
        return RunHealth(RunName.parse(f"{name}/3-level/fold1/seed0"), state, 50.0, never, never)

    card = health_card([run("rgb", "at chance"), run("rgb", "at chance"), run("of", "still falling"), run("of", "ok")])
    assert (card.value, card.note, card.warns) == ("1 of 4", "2 at chance, all of RGB; 1 still falling, of OF", True)
    assert not health_card([run("of", "ok")]).warns
    card = health_card([run("rgb", BLIND, ("nod",)), run("rgb+of", BLIND), run("rgb", BLIND)])
    assert card.note == "3 blind to some classes, 2 of RGB"
