"""Facts about methods: of single streams, summed over those that are fused, and unknown ones."""

import math

import numpy as np

from stp.config import Fusion
from stp.data.run_name import RunName
from stp.evaluation.facts import MethodFacts, method_facts
from stp.evaluation.fused import predict
from stp.evaluation.method_table import method_table, method_text
from stp.evaluation.run_facts import RunFacts
from stp.evaluation.scores import Scores

LABELS = np.array([0, 1, 0, 1])


def scores(name: str) -> Scores:
    run = RunName.parse(name)
    values = np.eye(2, dtype=np.float32)[LABELS][:, None]
    clips = tuple(f"{run.fold}-{number}" for number in range(len(LABELS)))
    return Scores(run, ("a", "b"), clips, LABELS, values)


def runs() -> list[Scores]:
    return [scores(f"{name}/fold{fold}/seed0") for name in ("rgb/tsm", "of/tsm", "of/3-level") for fold in (1, 2)]


FACTS = {
    RunName("rgb", "tsm", 1): RunFacts("imagenet", 1_500_000, 0.5),
    RunName("of", "tsm", 2): RunFacts("none", 1_500_000, 0.5),
}
MINUTES = {
    RunName("rgb", "tsm", 1): 2.0,
    RunName("rgb", "tsm", 2): 4.0,
    RunName("of", "tsm", 1): 1.0,
    RunName("of", "tsm", 2): 1.0,
}


def test_facts_of_fused_streams_are_sums_and_minutes_are_means_over_folds() -> None:
    found = method_facts(runs(), FACTS, MINUTES)
    assert found["RGB", "tsm"] == MethodFacts("ImageNet", 1_500_000, 0.5, 3)
    assert found["RGB+OF", "tsm"] == MethodFacts("ImageNet, None", 3_000_000, 1.0, 4)


def test_the_table_has_a_methods_inputs_together_in_the_order_of_the_scores() -> None:
    joint = [scores(f"rgb+of/tan/fold{fold}/seed0") for fold in (1, 2)]
    chosen = [*runs()[4:], *joint, *runs()[:4]]  # 3-level, tan, tsm
    table = method_table(predict(chosen, Fusion()), "3-level", method_facts(chosen, {}, {}))
    assert [*zip(table["method"], table["input"], strict=True)] == [
        *[("3-level", "OF"), ("tan", "RGB+OF")],
        *[("tsm", "RGB"), ("tsm", "OF"), ("tsm", "RGB+OF")],
    ]


def test_facts_that_are_not_known_are_empty() -> None:
    unknown = method_facts(runs(), FACTS, MINUTES)["OF", "3-level"]
    assert unknown.pretraining == ""
    assert all(map(math.isnan, (unknown.parameters, unknown.gmac, unknown.minutes)))


def test_weights_from_a_file_are_named_by_the_file() -> None:
    run = scores("of/tsm/fold1/seed0")
    found = method_facts([run], {run.run: RunFacts("/data/own.pth", 1, 1.0)}, {})
    assert found["OF", "tsm"].pretraining == "own.pth"


def test_the_table_of_methods_has_them() -> None:
    table = method_table(predict(runs(), Fusion()), "3-level", method_facts(runs(), FACTS, MINUTES))
    row = table[(table["method"] == "tsm") & (table["input"] == "RGB+OF")].iloc[0]
    assert (row["pretraining"], row["parameters"], row["gmac"], row["minutes"]) == (
        "ImageNet, None",
        3_000_000,
        1.0,
        4.0,
    )
    text = method_text(table, "3-level")
    assert " 3 M " in text
    assert " ImageNet, None " in text


def test_the_table_of_methods_has_every_metric_that_is_defined() -> None:
    labels, classes = np.arange(8), tuple("abcdefgh")
    values = np.eye(8, dtype=np.float32)[:, None]
    values[0, 0] = np.arange(8)  # a is taken for h, and five classes are likelier
    run = Scores(RunName("of", "3-level", 1), classes, tuple(classes), labels, values)
    table = method_table(predict([run], Fusion()), "3-level", method_facts([run], {}, {}))
    row = table.iloc[0]
    assert (row["accuracy"], row["f1_micro"], row["top5"]) == (87.5, 87.5, 87.5)
    # Of a nothing is right. Of the two that are taken for h, one is: its F1 is 2 / 3. The other six are right.
    assert row["f1_macro"] == round(100 * (6 + 2 / 3) / 8, 4)
    assert math.isnan(row["f1_mean"])
    lines = method_text(table, "3-level").splitlines()
    header, _, cells = (line.split("|") for line in lines if line.startswith("|"))
    shown = dict(zip((name.strip() for name in header), (cell.strip() for cell in cells), strict=True))
    assert (shown["Top 5"], shown["F1 macro"]) == ("87.5", "83.3")
    assert not {"F1 micro", "F1 mean", "Coarse F1 macro"} & shown.keys()


def test_an_input_that_the_proposed_method_lacks_is_compared_with_its_widest() -> None:
    tracks = [scores(f"idt/idt/fold{fold}/seed0") for fold in (1, 2)]
    for item in tracks:
        item.values[0] = item.values[0, :, ::-1]  # one clip of each fold is taken for the other class
    flow = [scores(f"of/3-level/fold{fold}/seed0") for fold in (1, 2)]
    table = method_table(predict([*flow, *tracks], Fusion()), "3-level", method_facts([*flow, *tracks], {}, {}))
    proposed, compared = table.iloc[0], table.iloc[1]
    assert (compared["input"], compared["only_proposed"], compared["only_method"], compared["p"]) == ("IDT", 2, 0, 0.5)
    assert proposed[["only_proposed", "only_method", "p"]].isna().all()


def test_a_method_with_weights_of_its_own_is_fused_by_them() -> None:
    streams = [scores("rgb/r2plus1d/fold1/seed0"), scores("of/r2plus1d/fold1/seed0")]
    streams[1].values[:] = -streams[1].values
    for weights, share in (({"rgb": 0.6, "of": 0.4}, 0.2), ({"rgb": 1.0, "of": 3.0}, -0.5)):
        fused = predict(streams, Fusion(methods={"r2plus1d": weights}))[-1]
        assert fused.input == "RGB+OF"
        np.testing.assert_allclose(fused.scores, share * np.eye(2)[LABELS], rtol=0, atol=1e-6)
