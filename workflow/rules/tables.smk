rule table1:
    input:
        skipped=f"{RESULTS}/skipped.csv",
        scores=scores_of(MODALITIES, VARIANTS),
    output:
        table=f"{RESULTS}/table1.csv",
        long=f"{RESULTS}/table1_long.csv",
        text=f"{RESULTS}/table1.md",
    log:
        f"{RESULTS}/logs/table1.log",
    benchmark:
        f"{RESULTS}/benchmarks/table1.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        fusion=fusion_options,
    shell:
        "python -m stp --log {log:q} table1 {input.scores:q} --skipped {input.skipped:q} {params.fusion} -o {output.table:q} --long {output.long:q} --text {output.text:q}"


rule confusion:
    input:
        lambda wildcards: scores_of(wildcards.streams.split("+"), wildcards.variant),
    output:
        csv=f"{RESULTS}/confusion/{{streams}}_{{variant}}.csv",
        png=f"{RESULTS}/confusion/{{streams}}_{{variant}}.png",
        fold_csv=expand(
            f"{RESULTS}/confusion/{{{{streams}}}}_{{{{variant}}}}_fold{{fold}}.csv",
            fold=FOLDS,
        ),
        fold_png=expand(
            f"{RESULTS}/confusion/{{{{streams}}}}_{{{{variant}}}}_fold{{fold}}.png",
            fold=FOLDS,
        ),
    log:
        f"{RESULTS}/logs/confusion/{{streams}}_{{variant}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/confusion/{{streams}}_{{variant}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        fusion=fusion_options,
        stem=lambda wildcards: f"{RESULTS}/confusion/{wildcards.streams}_{wildcards.variant}",
    shell:
        "python -m stp --log {log:q} confusion {input:q} {params.fusion} -o {params.stem:q}"


if SUBMISSION != "none":

    rule submission:
        input:
            scores_of(MODALITIES, SUBMISSION, "hidden"),
        output:
            f"{RESULTS}/submission.csv",
        log:
            f"{RESULTS}/logs/submission.log",
        benchmark:
            f"{RESULTS}/benchmarks/submission.tsv"
        conda:
            "../../envs/environment.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
            gpu=0,
        params:
            fusion=fusion_options,
        shell:
            "python -m stp --log {log:q} submission {input:q} {params.fusion} -o {output:q}"
