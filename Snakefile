# From videos to the paper's tables: index -> frames -> flow -> warped flow -> splits -> train -> score -> tables.
# Without --configfile this is the embedded demo data set.

if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/frames.smk"
include: "workflow/rules/flow.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/table1.csv",
        expand(
            f"{RESULTS}/confusion/{{streams}}_{{variant}}.png",
            streams=FUSIONS,
            variant=VARIANTS,
        ),
        [f"{RESULTS}/submission.csv"] if SUBMISSION != "none" else [],
        expand(f"{RESULTS}/figures/explain/{{file}}.png", file=EXPLAINED),
