rule table1:
    input:
        skipped=f"{RESULTS}/skipped.csv",
        scores=scores_of(MODALITIES, VARIANTS),
        reported=PRINTED,
    output:
        table=report(
            f"{RESULTS}/table1.csv",
            category="1 Tables",
            labels={"table": "Table 1 (csv)"},
            caption="../report/tables.rst",
        ),
        long=report(
            f"{RESULTS}/table1_long.csv",
            category="1 Tables",
            labels={"table": "Table 1 of every fold and seed (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/table1.md",
    log:
        f"{RESULTS}/logs/table1.log",
    benchmark:
        f"{RESULTS}/benchmarks/table1.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=table1_options,
    shell:
        "python -m stp --log {log:q} table1 {input.scores:q} --skipped {input.skipped:q} {params.fusion} -o {output.table:q} --long {output.long:q} --text {output.text:q}"


rule confusion:
    input:
        lambda wildcards: scores_of(
            streams_of(wildcards.streams, wildcards.method), wildcards.method
        ),
    output:
        csv=f"{RESULTS}/confusion/{{streams}}_{{method}}.csv",
        png=report(
            f"{RESULTS}/confusion/{{streams}}_{{method}}.png",
            category="2 Confusion matrices",
            labels=lambda wildcards: {
                "input and variant": f"{wildcards.streams.upper()}, {wildcards.method}"
            },
            caption="../report/confusion.rst",
        ),
        pdf=f"{RESULTS}/confusion/{{streams}}_{{method}}.pdf",
        fold_csv=expand(
            f"{RESULTS}/confusion/{{{{streams}}}}_{{{{method}}}}_fold{{fold}}.csv",
            fold=FOLDS,
        ),
        fold_png=expand(
            f"{RESULTS}/confusion/{{{{streams}}}}_{{{{method}}}}_fold{{fold}}.png",
            fold=FOLDS,
        ),
        fold_pdf=expand(
            f"{RESULTS}/confusion/{{{{streams}}}}_{{{{method}}}}_fold{{fold}}.pdf",
            fold=FOLDS,
        ),
    log:
        f"{RESULTS}/logs/confusion/{{streams}}_{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/confusion/{{streams}}_{{method}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=method_options,
        stem=lambda wildcards: f"{RESULTS}/confusion/{wildcards.streams}_{wildcards.method}",
    shell:
        "python -m stp --log {log:q} confusion {input:q} {params.fusion} -o {params.stem:q}"


rule comparison:
    input:
        reported=lambda wildcards: str(REPORTED / f"{wildcards.table}.csv"),
        scores=lambda wildcards: measured_scores(wildcards.table),
    output:
        table=report(
            f"{RESULTS}/{{table}}.csv",
            category="1 Tables",
            labels=lambda wildcards: {
                "table": f"{table_title(wildcards.table)} (csv)"
            },
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/{{table}}.md",
    log:
        f"{RESULTS}/logs/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{table}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=method_options,
        data=DATA,
    shell:
        "python -m stp --log {log:q} comparison {input.scores:q} --reported {input.reported:q} --data {params.data:q} {params.fusion} -o {output.table:q} --text {output.text:q}"


rule metrics:
    input:
        scores_of(MODALITIES, VARIANTS),
    output:
        table=report(
            f"{RESULTS}/metrics.csv",
            category="1 Tables",
            labels={"table": "Metrics (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/metrics.md",
    log:
        f"{RESULTS}/logs/metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/metrics.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=learned_options,
    shell:
        "python -m stp --log {log:q} metrics {input:q} {params.fusion} -o {output.table:q} --text {output.text:q}"


rule predictions:
    input:
        scores_of(MODALITIES, VARIANTS),
    output:
        f"{RESULTS}/predictions.csv",
    log:
        f"{RESULTS}/logs/predictions.log",
    benchmark:
        f"{RESULTS}/benchmarks/predictions.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=learned_options,
    shell:
        "python -m stp --log {log:q} predictions {input:q} {params.fusion} -o {output:q}"


use rule predictions as predictions_of_methods with:
    input:
        compared_scores,
    output:
        f"{RESULTS}/predictions_methods.csv",
    log:
        f"{RESULTS}/logs/predictions_methods.log",
    benchmark:
        f"{RESULTS}/benchmarks/predictions_methods.tsv"
    params:
        fusion=combined_options,


rule statistics:
    input:
        scores_of(MODALITIES, VARIANTS),
    output:
        table=report(
            f"{RESULTS}/statistics.csv",
            category="1 Tables",
            labels={"table": "Statistics (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/statistics.md",
    log:
        f"{RESULTS}/logs/statistics.log",
    benchmark:
        f"{RESULTS}/benchmarks/statistics.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=learned_options,
        resamples=config["statistics"]["resamples"],
        seed=config["statistics"]["seed"],
    shell:
        "python -m stp --log {log:q} statistics {input:q} {params.fusion} --resamples {params.resamples} --seed {params.seed} -o {output.table:q} --text {output.text:q}"


rule differences:
    input:
        scores_of(MODALITIES, VARIANTS),
    output:
        table=report(
            f"{RESULTS}/differences.csv",
            category="1 Tables",
            labels={"table": "Differences (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/differences.md",
    log:
        f"{RESULTS}/logs/differences.log",
    benchmark:
        f"{RESULTS}/benchmarks/differences.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=learned_options,
    shell:
        "python -m stp --log {log:q} differences {input:q} {params.fusion} -o {output.table:q} --text {output.text:q}"


# The paper's claims about inputs, levels and the baseline, in total and by class, on the clips of this config.
rule claims:
    input:
        reported=expand(f"{REPORTED}/{{name}}.csv", name=("table1", "table2", "table3")),
        scores=scores_of(MODALITIES, VARIANTS),
    output:
        table=report(
            f"{RESULTS}/claims.csv",
            category="1 Tables",
            labels={"table": "Claims (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/claims.md",
    log:
        f"{RESULTS}/logs/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/claims.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=learned_options,
    shell:
        "python -m stp --log {log:q} claims {input.scores:q} --reported {input.reported[0]:q} --reported {input.reported[1]:q} --reported {input.reported[2]:q} {params.fusion} -o {output.table:q} --text {output.text:q}"


if LEARNED:

    rule fusion:
        input:
            scores_of(MODALITIES, VARIANTS),
        output:
            table=report(
                f"{RESULTS}/fusion.csv",
                category="1 Tables",
                labels={"table": "Fusion (csv)"},
                caption="../report/tables.rst",
            ),
            text=f"{RESULTS}/fusion.md",
        log:
            f"{RESULTS}/logs/fusion.log",
        benchmark:
            f"{RESULTS}/benchmarks/fusion.tsv"
        conda:
            "../../envs/environment.yaml"
        threads: 1
        params:
            space=config["fusion"]["space"],
        shell:
            "python -m stp --log {log:q} fusion {input:q} --space {params.space} -o {output.table:q} --text {output.text:q}"


# The methods of the config on the same clips and folds, beside the baseline and the proposed pyramid. Facts about their
# runs are read from the files beside the scores, which are no inputs, so that scores whose runs were removed still serve.
rule methods:
    input:
        compared_scores,
    output:
        table=report(
            f"{RESULTS}/methods.csv",
            category="1 Tables",
            labels={"table": "Methods (csv)"},
            caption="../report/tables.rst",
        ),
        text=f"{RESULTS}/methods.md",
        classes_csv=f"{RESULTS}/figures/classes_methods.csv",
        classes_png=report(
            f"{RESULTS}/figures/classes_methods.png",
            category="3 Accuracy of each class",
            labels={"methods of": "all methods"},
            caption="../report/classes.rst",
        ),
        classes_pdf=f"{RESULTS}/figures/classes_methods.pdf",
    log:
        f"{RESULTS}/logs/methods.log",
    benchmark:
        f"{RESULTS}/benchmarks/methods.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=lambda wildcards: combined_options(wildcards) + resampling(),
        proposed=PROPOSED,
        stem=f"{RESULTS}/figures/classes_methods",
    shell:
        "python -m stp --log {log:q} methods {input:q} {params.fusion} --proposed {params.proposed} -o {output.table:q} --text {output.text:q} --classes {params.stem:q}"


if SUBMISSION != "none":

    rule submission:
        input:
            scores_of(MODALITIES, SUBMISSION, "hidden.h5"),
        output:
            f"{RESULTS}/submission.csv",
        log:
            f"{RESULTS}/logs/submission.log",
        benchmark:
            f"{RESULTS}/benchmarks/submission.tsv"
        conda:
            "../../envs/environment.yaml"
        threads: 1
        params:
            fusion=fusion_options,
        shell:
            "python -m stp --log {log:q} submission {input:q} {params.fusion} -o {output:q}"
