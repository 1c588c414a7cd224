"""The config as dataclasses: their defaults are those of the schema, and keys that do not go together are named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stp.config import LATER, SECTIONS, Config, Fusion, MethodEntry, Stream, from_values
from stp.errors import UserError
from stp.methods.pyramid import PyramidOptions

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
NEEDED: dict[str, Any] = {"dataset": {"importer": "folder", "path": "videos"}}
NAMES = {"class": "target"}  # a key that Python cannot have as a name


def config(**changes: Any) -> Config:
    return Config.from_values(NEEDED | changes)


def schema_defaults(entry: dict[str, Any]) -> Any:
    """The value that the schema fills in for a key: its own default, or that of every key below it."""
    if "$ref" in entry:
        entry = SCHEMA["$defs"][entry["$ref"].rsplit("/", 1)[1]]
    if "properties" not in entry:
        return entry.get("default")
    return {NAMES.get(key, key): schema_defaults(below) for key, below in entry["properties"].items()}


def plain(value: Any) -> Any:
    """A dataclass as YAML has it."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, dict) else value


@pytest.mark.parametrize("key", [key for key in SCHEMA["properties"] if key not in ("dataset", "demo", "methods")])
def test_the_schemas_defaults_are_those_of_the_dataclasses(key: str) -> None:
    assert plain(getattr(config(), key)) == schema_defaults(SCHEMA["properties"][key])


def test_the_schemas_defaults_of_the_demo_are_those_of_its_dataclass() -> None:
    demo = config(demo={}, dataset={"importer": "demo", "path": "results/videos"}).demo
    assert plain(demo) == schema_defaults(SCHEMA["properties"]["demo"])


def test_every_section_of_the_schema_has_a_dataclass() -> None:
    assert {key for key, entry in SCHEMA["properties"].items() if "properties" in entry} == set(SECTIONS)


def test_settings_of_a_pyramid_are_those_that_version_0_1_recorded() -> None:
    """Snakemake compares this text, letter for letter, with what it recorded: another one would train again."""
    values = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    values["model"]["width"] = 1.0  # of the demo then, as its schedule
    values["training"]["flow"] = {
        "epochs": 30,
        "milestones": [18, 25],
        "learning_rate": 0.05,
        "dropout": 0.3,
        "scales": [0.9],
    }
    demo = Config.from_values(values)
    assert json.dumps(demo.settings("3-level", "of"), sort_keys=True) == (
        '{"backbone": "convnet", "batch_videos": 16, "deterministic": false, "flow": {"dropout": 0.3, "epochs": 30, '
        '"learning_rate": 0.05, "milestones": [18, 25], "scales": [0.9]}, "gradient_clip": 20, "input_size": 32, '
        '"momentum": 0.9, "partial_bn": false, "precision": "auto", "segment_length": 20, "segments": 3, '
        '"subsegment_length": 5, "subsegments": 4, "weight_decay": 0.0005, "weights": "none", "width": 1.0}'
    )


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
@pytest.mark.parametrize("name", ["baseline", "3-level"])
@pytest.mark.parametrize("modality", ["rgb", "wof"])
def test_settings_have_the_numbers_of_the_schema(path: str, name: str, modality: str) -> None:
    """The same text as from the config with the schema's defaults, as version 0.1 made it: 20 is not 20.0."""
    values = yaml.safe_load((ROOT / "config" / path).read_text(encoding="utf-8"))
    filled = {
        key: schema_defaults(SCHEMA["properties"][key]) | values.get(key, {})
        for key in ("pyramid", "model", "training")
    }
    for stream in ("rgb", "flow"):
        given = values.get("training", {}).get(stream, {})
        filled["training"][stream] = schema_defaults({"$ref": f"#/$defs/{stream}"}) | given
    unused = {"seeds", "checkpoint_minutes", "tensorboard", "flow" if modality == "rgb" else "rgb"}
    unused |= {"balance", "balance_power", "sampling"} | ({"rgb_frame"} if modality == "wof" else set())
    unused |= {"segment_length", "subsegments"} if name == "baseline" else set()
    expected = filled["pyramid"] | filled["model"] | filled["training"]
    expected = {key: value for key, value in expected.items() if key not in unused}
    settings = Config.from_values(values).settings(name, modality)
    assert json.dumps(settings, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize("balance", ["sampling", "loss"])
def test_balancing_is_a_setting_only_where_it_is_done(balance: str) -> None:
    """Runs of versions without these keys are not trained again."""
    plain = config().settings("3-level", "of")
    assert config(training={"balance": "none", "balance_power": 0.5}).settings("3-level", "of") == plain
    balanced = config(training={"balance": balance, "balance_power": 0.5}).settings("3-level", "of")
    assert balanced == plain | {"balance": balance, "balance_power": 0.5}


@pytest.mark.parametrize("modality", ["rgb", "of"])
def test_the_frame_that_rgb_sees_is_a_setting_of_rgb_alone_and_only_if_it_is_any(modality: str) -> None:
    """Runs of versions without the key, which took the first frame, are not trained again."""
    first = config(pyramid={"rgb_frame": "first"}).settings("3-level", modality)
    assert "rgb_frame" not in first
    assert config().settings("3-level", modality) == first | ({"rgb_frame": "any"} if modality == "rgb" else {})


def test_options_without_a_later_key_are_those_of_versions_that_did_not_have_it() -> None:
    options = vars(PyramidOptions())
    assert {key: options[key] for key in LATER} == LATER


def test_another_method_is_an_entry_with_its_inputs_and_options() -> None:
    methods = {"quarters": {"method": "svm", "inputs": ["of"], "features": "frozen", "parts": [4]}}
    chosen = config(methods=methods, modalities=["rgb", "of"], variants=["3-level"])
    pyramid = MethodEntry("3-level", "pyramid", ("rgb", "of"))
    assert chosen.trained == (pyramid, MethodEntry("quarters", "svm", ("of",), "frozen", {"parts": [4]}))
    assert chosen.settings("quarters", "of") == {"method": "svm", "parts": [4]}
    assert chosen.stored("quarters", "of") == ["frozen-of"]
    assert chosen.stored("3-level", "rgb") == ["rgb"]


def test_features_that_are_inputs_by_their_names_are_made_from_stored_modalities() -> None:
    chosen = config(methods={"mpov": {"inputs": ["idt+displacement"], "C": 2}}, features={"idt": {"scales": 3}})
    assert chosen.stored("mpov", "idt+displacement") == ["idt", "displacement"]
    assert chosen.method("mpov").features_of("idt+displacement") == ("idt", "displacement")
    assert chosen.settings("mpov", "idt+displacement") == {"method": "mpov", "C": 2}
    assert (chosen.sources("idt"), chosen.sources("displacement")) == (("rgb", "of", "wof"), ("first",))
    farneback = config(
        methods={"idt": {"inputs": ["idt"]}}, features={"idt": {"flow": "farneback"}}, modalities=["rgb"]
    )
    assert farneback.sources("idt") == ("rgb",)


def test_a_network_has_the_models_and_trainings_keys_unless_its_entry_has_its_own() -> None:
    chosen = config(methods={"two_stream": {"inputs": ["rgb+of"], "batch_videos": 7}}, training={"momentum": 0.5})
    settings = chosen.settings("two_stream", "rgb+of")
    assert (settings["batch_videos"], settings["momentum"], settings["method"]) == (7, 0.5, "two_stream")
    assert {"rgb", "flow", "backbone"} <= set(settings)
    assert chosen.stored("two_stream", "rgb+of") == ["rgb", "of"]


def test_a_stream_of_an_entry_has_only_what_differs_from_training() -> None:
    entry = {"inputs": ["rgb", "of"], "flow": {"learning_rate": 0.005}}
    chosen = config(methods={"two_stream": entry}, training={"flow": {"epochs": 7, "dropout": 0.1}})
    flow = chosen.settings("two_stream", "of")["flow"]
    assert (flow["learning_rate"], flow["epochs"], flow["dropout"]) == (0.005, 7, 0.1)
    assert flow["scales"] == [1, 0.875, 0.75]
    plain = config(methods={"two_stream": {"inputs": ["rgb"]}}).settings("two_stream", "rgb")
    assert chosen.settings("two_stream", "rgb") == plain


def test_streams_and_fusion_weights_take_what_is_left_out_from_the_defaults() -> None:
    chosen = config(training={"flow": {"epochs": 3}}, fusion={"weights": {"rgb": 2}})
    assert (chosen.training.flow.epochs, chosen.training.flow.dropout) == (3, 0.7)
    assert chosen.training.rgb.dropout == 0.8
    assert chosen.fusion.weights == {**Fusion().weights, "rgb": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"rgb": {"epoch": 3}}}, "config: training: rgb: unknown key 'epoch'; allowed are epochs"),
        ({"methods": {"2-level": {"inputs": ["of"]}}}, "methods.2-level: the name is that of a pyramid"),
        ({"methods": {"svm": {"inputs": ["of+of"]}}}, "methods.svm.inputs: 'of+of' is neither an input"),
        ({"methods": {"svm": {"inputs": ["depth"]}}}, "methods.svm.inputs: 'depth' is neither an input"),
        (
            {"methods": {"idt": {"inputs": ["idt"]}}, "modalities": ["rgb", "of"]},
            "methods.idt.inputs: 'idt' is made from rgb, of, wof; add wof to modalities, or set features.idt.flow",
        ),
        ({"methods": {"x": {"inputs": ["idt"], "features": "frozen"}}}, "methods.x.inputs: 'idt' is neither an input"),
        (
            {"methods": {"x": {"method": "tpp", "inputs": ["of", "rgb", "of+rgb"]}}},
            "methods.x.inputs: tables would take 'of+rgb' for the fusion of its parts, which are inputs, too; give it "
            "an entry of its own, such as x-joint: {method: tpp, inputs: [of+rgb]}",
        ),
        ({"methods": {"x": {"inputs": ["of+rgb", "rgb+of"]}}}, "'of+rgb' for another input of the same parts; give"),
        ({"features": {"frozen": {}}}, "features.frozen: no method uses these"),
        ({"results": "videos/results"}, "config: results: 'videos/results' lies in dataset.path 'videos'"),
        ({"demo": {}}, "config: dataset.path: 'videos' lies outside of the results folder 'results'"),
        (
            {"demo": {"frames": 500, "width": 1280}, "dataset": {"importer": "demo", "path": "results/videos"}},
            "config: demo: frames x width x height: 500 x 1280 x 96 are 61440000 pixels",
        ),
        ({"fusion": {"learned": True}, "splits": {"folds": 1}}, "config: fusion.learned: true with splits.folds 1;"),
        (
            {"fusion": {"learned": True}, "modalities": ["rgb", "wof"]},
            "config: fusion.learned: true, but of the modalities rgb, wof no two are fused; fusions are rgb+of, of+wof",
        ),
        (
            {"fusion": {"combined": {"3-level+idt": {"3-level": 1, "idt": 1}}}},
            "config: fusion.combined.3-level+idt: 'idt' is not trained; methods are baseline, 1-level",
        ),
        ({"fusion": {"combined": {"two": {"3-level": 1}}}}, "fusion.combined.two: fuses one method"),
        ({"fusion": {"combined": {"3-level": {"1-level": 1, "2-level": 1}}}}, "3-level: the name is that of a method"),
        ({"submission": "3-level"}, "config: submission: '3-level' with splits.folds 3"),
        ({"submission": "9-level", "splits": {"folds": 1}}, "config: submission: '9-level' is not trained"),
        ({"explain": {"clips": ["a/b", "a__b"]}}, "config: explain.clips: two of them"),
        ({"explain": {"number": 4, "fold": 4}}, "config: explain.fold: 4 is none of the 3 folds"),
        ({"explain": {"clips": ["a"], "variants": ["7-level"]}}, "config: explain.variants: '7-level' is not trained"),
        ({"compute": {"compile": "always", "micro_batch_videos": 1}}, "config: compute.compile: always"),
        (
            {"training": {"partial_bn": False}, "compute": {"micro_batch_videos": 1}},
            "or results change; set training.partial_bn: true, or compute.micro_batch_videos: 0",
        ),
        (
            {"methods": {"trn": {"inputs": ["of"], "partial_bn": False}}, "compute": {"micro_batch_videos": 4}},
            "config: compute.micro_batch_videos: only one batch norm may learn from the batch, or results change; "
            "set methods.trn.partial_bn: true, or compute.micro_batch_videos: 0",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        config(**changes)
    assert words in str(caught.value)


def test_an_unknown_method_is_named_with_those_that_are_trained() -> None:
    with pytest.raises(UserError, match="'nine' is not trained; methods are baseline, 1-level"):
        config().method("nine")


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(UserError, match=r"here: unknown key 'space_'; allowed are space, weights"):
        from_values(Fusion, {"space_": "scores"}, "here")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": "3"}, "here: epochs: '3' is not of type int"),
        ({"epochs": 3.0}, "here: epochs: 3.0 is not of type int"),
        ({"epochs": True}, "here: epochs: True is not of type int"),
        ({"dropout": "much"}, "here: dropout: 'much' is not of type float"),
        ({"scales": 1}, r"here: scales: 1 is not of type tuple\[float, \.\.\.\]"),
        ({"milestones": [1, "2"]}, r"here: milestones: \[1, '2'\] is not of type tuple\[int, \.\.\.\]"),
    ],
)
def test_a_value_of_another_type_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        from_values(Stream, values, "here")


def test_a_whole_number_is_a_number_and_a_word_is_one_of_those_allowed() -> None:
    assert from_values(Stream, {"learning_rate": 1}, "here").learning_rate == 1
    with pytest.raises(UserError, match=r"here: space: 'sum' is not of type Literal\['scores', 'probabilities'\]"):
        from_values(Fusion, {"space": "sum"}, "here")
