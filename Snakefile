# From videos to the paper's tables: index -> frames -> flow -> warped flow -> splits -> train -> score -> tables.
# Without --configfile this is the embedded demo data set.

if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/scheduler.smk"
include: "workflow/rules/terminal.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/frames.smk"
include: "workflow/rules/flow.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/paper.smk"


rule all:
    default_target: True
    input:
        expand(f"{RESULTS}/{{name}}.csv", name=TABLES),
        expand(f"{RESULTS}/pages/{{page}}.html", page=[*TABLES, "config"]),
        f"{RESULTS}/predictions.csv",
        FIGURES,
        f"{RESULTS}/index.html",
        f"{RESULTS}/figures/examples",
        [f"{RESULTS}/submission.csv"] if SUBMISSION != "none" else [],


# Names of what has no rule of its own, as `snakemake figures` and `snakemake table2`.
rule figures:
    input:
        FIGURES,


for name in COMPARISONS:
    if name not in {rule.name for rule in workflow.rules}:

        rule:
            name:
                name
            input:
                f"{RESULTS}/{name}.csv",


TARGETS += [rule.name for rule in workflow.rules if not rule.has_wildcards()]
TARGETS += [
    str(file)
    for rule in workflow.rules
    for file in rule.output
    if not rule.has_wildcards()
]
TARGETS += FIGURES
TARGETS += [f"{RESULTS}/{name}.csv" for name in COMPARISONS]
TARGETS += [
    path
    for entry in CONFIG.trained
    for name in ("scores.h5", "model.pt")
    for path in scores_of(entry.inputs, entry.name, name)
]
