import hashlib
import json
import os
import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

import snakemake.benchmark
from snakemake.utils import min_version

min_version("9.0")
# Seconds between two looks at a job's memory in its first minute. Snakemake's own half second takes a tenth of a core
# while two networks train.
snakemake.benchmark.BENCHMARK_INTERVAL_SHORT = 2

# The package is beside the workflow, or installed where the workflow is a module.
ROOT = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(ROOT))
try:
    from stp.config import FEATURE_SOURCES, PYRAMID, Statistics, fused_inputs
    from stp.config_check import checked_config, read_config
    from stp.errors import UserError, did_you_mean
    from stp.system.files import clip_file_name
    from stp.system.tables import read_table
except ModuleNotFoundError as error:
    raise Mistake(
        f"environment: {sys.executable} runs Snakemake and has no package {error.name}; activate the environment of stp, "
        "as by `source .venv/bin/activate`"
    ) from None
# Jobs call `python`: that of the environment which runs Snakemake, whether or not it is activated.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
)
if not shutil.which("python"):
    raise Mistake(
        "environment: there is no command python; activate the environment of stp, as by `source .venv/bin/activate`"
    )

try:
    for path in workflow.configfiles:  # Snakemake takes the last of keys given twice
        read_config(Path(path))
    filled, CONFIG = checked_config(config, ROOT)
except UserError as error:
    raise Mistake(str(error)) from None
config.update(filled)

RESULTS = config["results"].rstrip("/")
# Trainings of the same network compile it once, whichever node of a cluster they run on.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.abspath(f"{RESULTS}/compiled"))
DATASET = config["dataset"]
SUBMISSION = config["submission"]

DATA = f"{DATASET['importer']} ({RESULTS})"

# Published results, a file for each comparison; found from this file, because the workflow may be a module.
REPORTED = ROOT / "config/reported"
# Those of Table 1 stand in Table 1 itself.
COMPARISONS = [name for name in config["comparison"] if name != "table1"]
PRINTED = [str(REPORTED / "table1.csv")] if "table1" in config["comparison"] else []
KNOWN_COMPARISONS = sorted(
    path.stem for path in REPORTED.glob("*.csv") if path.stem != "table1"
)

LEARNED = ["fusion"] if config["fusion"]["learned"] else []
TABLES = [
    *("table1", *COMPARISONS, "claims", "differences", "statistics", "metrics"),
    *LEARNED,
]
# Backends of flow that compute on a GPU; torch does where there is one, but serves tests.
GPU_FLOW = ("triton", "opencv-cuda")
SHARDS = range(config["shards"])
FOLDS = range(1, config["splits"]["folds"] + 1)
SEEDS = config["training"]["seeds"]
MODALITIES = config["modalities"]
VARIANTS = config["variants"]
# The path of a run below RESULTS/runs, and of its logs, state and curves below their folders. The input is a modality, or
# several joined by +; the method is a pyramid of the short form `variants`, or one of section `methods`.
RUN = "{run_input}/{method}/fold{fold}/seed{seed}"
METHODS = {entry.name: entry for entry in CONFIG.trained}
INPUTS = list(dict.fromkeys(name for entry in CONFIG.trained for name in entry.inputs))
FUSIONS = fused_inputs(MODALITIES)
# What the table of methods compares with: the baseline, and the proposed pyramid.
PROPOSED = (
    "3-level"
    if "3-level" in VARIANTS
    else max(VARIANTS, key=lambda name: int(PYRAMID.fullmatch(name)["levels"] or 0))
)
# Features of one modality each, and those that are inputs by their own names.
FEATURES = list(
    dict.fromkeys(entry.features for entry in CONFIG.methods if entry.features)
)
# A method that sees first-person videos, for messages, and where the demo's are drawn.
FIRST_PERSON = [f"methods.{name}" for name in CONFIG.first_person[:1]]
FIRST_PERSON_VIDEOS = f"{DATASET['path'].rstrip('/')}_first_person"
COMPARED = [
    *dict.fromkeys(
        [
            *(["baseline"] if "baseline" in VARIANTS else []),
            PROPOSED,
            *(name for parts in CONFIG.fusion.combined.values() for name in parts),
            *(entry.name for entry in CONFIG.methods),
        ]
    )
]


# Everything that a training's result depends on, as one argument: a changed value repeats only the runs that use it.
def settings(wildcards):
    values = CONFIG.settings(wildcards.method, wildcards.run_input)
    return json.dumps(values, sort_keys=True)


# The files of a run's frames, flow or features.
def clips_of(wildcards):
    return expand(
        f"{RESULTS}/clips/{{stored}}/{{shard}}.h5",
        stored=CONFIG.stored(wildcards.method, wildcards.run_input),
        shard=SHARDS,
    )


# Version 0.1 recorded the value of compute.device with its results. Snakemake runs a job again when a recorded value is
# gone, so the default stays recorded. The device that a job computes on is one of its resources.
RECORDED_DEVICE = "auto"

# The share of the free memory that one run may take. Snakemake rounds numbers in resources, so this is text.
MEMORY_SHARE = str(config["compute"]["memory_share"] / config["compute"]["gpu_share"])


# The folder of a run in RESULTS/KIND, from the path of its model.pt. State and curves are not outputs, because
# Snakemake deletes outputs before it tries a job again.
def folder_of_run(kind, model):
    run = Path(model).parent
    results = run.parents[RUN.count("/") + 1]
    return str(results / kind / run.relative_to(results / "runs"))


# Text that stands in a shell command as it is. A variable in braces would not be found where the workflow is a module.
def literal(text):
    return shlex.quote(text).replace("{", "{{").replace("}", "}}")


# An option, once for each value.
def repeated(option, values):
    return shlex.join([word for value in values for word in (option, str(value))])


# Memory or minutes of a job that starts from the beginning when it is tried again: twice, then three times the amount.
def growing(amount):
    return lambda wildcards, attempt: amount * attempt


# Path, size and time of every file below a folder, in the order of names, those of subfolders last. Hidden files and
# folders do not count. Links are followed, except to a folder that holds them, which would be listed without end.
# `real` is the folder's path without links, `above` holds the real paths of the folders that it was reached through.
def files_below(folder, real, above):
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError:
        return
    subfolders = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        linked = entry.is_symlink()
        if os.path.isdir(entry.path) if linked else entry.is_dir():
            subfolders.append((entry, linked))
        elif os.path.isfile(entry.path) if linked else entry.is_file():
            status = entry.stat()
            yield entry.path, status.st_size, status.st_mtime_ns
    for entry, linked in subfolders:
        below = (
            os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
        )
        if below not in above:
            yield from files_below(entry.path, below, above | {below})


# The same for files that the lists name by paths and that are not among those found below the folder: they lie outside it,
# or are hidden in it.
def files_elsewhere(folder, lists, found):
    from stp.datasets import IMPORTERS  # here, because that takes a second

    named_files = IMPORTERS[DATASET["importer"]].named_files(Path(folder), Path(lists))
    named = {os.path.abspath(path): str(path) for path in named_files}
    for path, *_ in found:
        named.pop(os.path.abspath(path), None)
    behind_links = {os.path.realpath(path) for path, *_ in found} if named else set()
    for path in sorted(named.values()):
        if os.path.isfile(path) and os.path.realpath(path) not in behind_links:
            status = os.stat(path)
            yield path, status.st_size, status.st_mtime_ns


# A hash of the names, sizes and times of the user's files, so that a changed folder is indexed again. Only a process
# that has rule index among its jobs computes it: the one that the user started, and a cluster's index job. It is cached,
# because Snakemake asks for it before the job and again when it records the job: files that arrived in between are not
# in the index and must not be in the record. `lists` may name more files of the user's.
@cache
def fingerprint(folder, lists=""):
    if os.path.isfile(folder):  # a list of one's own
        status = os.stat(folder)
        return f"{status.st_size} {status.st_mtime_ns}"
    above = frozenset(map(os.path.realpath, (Path(folder), *Path(folder).parents)))
    listing = list(files_below(folder, os.path.realpath(folder), above))
    if lists:
        listing += files_elsewhere(folder, lists, listing)
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]


# How frames are stored. The rate is named only where one is chosen, so that results made before there was a choice stay
# valid.
FRAME_STORAGE = config["storage"]["format"]
if config["frames"]["fps"] != "native":
    FRAME_STORAGE += f" --fps {config['frames']['fps']}"


# The options of the importer; true and false are written as in the config.
def importing(wildcards):
    options = ["--importer", DATASET["importer"]]
    if DATASET["lists"]:
        options += ["--lists", DATASET["lists"]]
    for name, value in DATASET["options"].items():
        word = str(value).lower() if isinstance(value, bool) else value
        options += ["--option", f"{name}={word}"]
    return shlex.join(options)


# The time at which the user's weights were written, so that other weights under the same name are trained from.
def written(weights):
    path = Path(weights)
    return path.stat().st_mtime_ns if path.is_file() else 0


# The same for weights that a method or features name themselves. Snakemake records and compares only plain values. Where
# the weights are no file, there is nothing to record, so that results made before there was this record stay valid.
NOT_RECORDED = object()


def own_written(options):
    return written(options.get("weights", "none")) or NOT_RECORDED


def fusion_options(wildcards):
    weights = ",".join(
        f"{name}={weight}" for name, weight in config["fusion"]["weights"].items()
    )
    return f"--weights {weights} --space {config['fusion']['space']}"


# Of tables and figures that show methods beside the pyramid, some of which have weights of their own.
def method_options(wildcards):
    own = [
        f"{name}:"
        + ",".join(f"{stream}={weight}" for stream, weight in weights.items())
        for name, weights in config["fusion"]["methods"].items()
        if name in METHODS
    ]
    return " ".join(
        [fusion_options(wildcards), repeated("--method-weights", own)]
    ).strip()


# Of the table of methods, which has rows of methods that are fused with each other, too.
def combined_options(wildcards):
    fusions = [
        f"{name}:"
        + ",".join(f"{method}={weight}" for method, weight in weights.items())
        for name, weights in CONFIG.fusion.combined.items()
    ]
    return " ".join(
        [method_options(wildcards), repeated("--combined", fusions)]
    ).strip()


# Of the intervals of classes. Nothing is added to the command's own numbers, so that tables made before there were
# intervals stay valid.
def resampling():
    chosen = config["statistics"]
    if (chosen["resamples"], chosen["seed"]) == (Statistics.resamples, Statistics.seed):
        return ""
    return f" --resamples {chosen['resamples']} --seed {chosen['seed']}"


# Of the tables that have rows of learned fusions, too. Nothing is added where there are none, so that tables made
# before there was a choice stay valid.
def learned_options(wildcards):
    return fusion_options(wildcards) + (" --learned" if LEARNED else "")


# Of the page, which shows learned fusions and the methods' own weights.
def overview_options(wildcards):
    return method_options(wildcards) + (" --learned" if LEARNED else "")


# The reported figures, too, are named only where they are shown.
def table1_options(wildcards):
    return " ".join(
        [learned_options(wildcards), repeated("--reported", PRINTED)]
    ).strip()


def scores_of(inputs, methods, name="scores.h5"):
    return expand(
        f"{RESULTS}/runs/{RUN}/{name}",
        run_input=inputs,
        method=methods,
        fold=FOLDS,
        seed=SEEDS,
    )


# Of the methods, the baseline and the proposed pyramid.
def compared_scores(wildcards):
    return [path for name in COMPARED for path in scores_of(METHODS[name].inputs, name)]


# The inputs of a method that a fusion is made of, as rgb and of for rgb+of; none where one of them is not trained.
def streams_of(fused, method):
    inputs = METHODS[method].inputs if method in METHODS else ()
    if fused in inputs:
        return [fused]
    streams = fused.split("+")
    return streams if set(streams) <= set(inputs) else []


# The name of a clip from that of its file, which has __ for / and ＜ for <. The invisible letter behind < keeps the
# report's script from ending at a name such as </script>.
def as_label(file):
    return file.replace("__", "/").replace("＜", "<\u2060")


# table2 becomes Table 2.
def table_title(name):
    return re.sub(r"^table(?=\d)", "table ", name).capitalize()


# The scores of those methods of a comparison that this config trains.
def measured_scores(table):
    try:
        _, rows = read_table(REPORTED / f"{table}.csv")
        methods = {(row["streams"], row["variant"]) for _, row in rows}
    except UserError as error:
        raise Mistake(str(error)) from None
    except KeyError as error:
        raise Mistake(
            f"{REPORTED / f'{table}.csv'}: column {error} is missing"
        ) from None
    trained = [
        scores_of(streams_of(streams, method), method)
        for streams, method in sorted(methods)
    ]
    return list(dict.fromkeys(path for paths in trained for path in paths))


wildcard_constraints:
    modality="|".join(("rgb", "of", "wof", "first")),
    run_input="|".join(map(re.escape, INPUTS)),
    method="|".join(map(re.escape, METHODS)),
    features="|".join(map(re.escape, [*FEATURES, *FEATURE_SOURCES])),
    fold="|".join(map(str, FOLDS)),
    seed=r"\d+",
    shard=r"\d+",
    table="|".join(KNOWN_COMPARISONS),
    streams=r"[a-z0-9_]+(\+[a-z0-9_]+)*",
