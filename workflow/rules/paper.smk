# Figures 3 to 6, explanations of clips by name, and the training curves.
FIGURES = [
    *([f"{RESULTS}/figures/figure3.png"] if EXPLAIN["number"] else []),
    f"{RESULTS}/figures/figure4.png",
    *expand(
        f"{RESULTS}/confusion/{{streams}}_{{method}}.png",
        streams=FUSIONS or MODALITIES,
        method=VARIANTS,
    ),
    *(
        f"{RESULTS}/figures/classes_{table}.png"
        for table in COMPARISONS
        if measured_scores(table)
    ),
    *expand(f"{RESULTS}/figures/explain/{{file}}.png", file=EXPLAINED),
    *expand(
        f"{RESULTS}/figures/training/{{run_input}}_{{method}}.png",
        run_input=MODALITIES,
        method=VARIANTS,
    ),
]
CONFIG_TEXT = json.dumps(config)


rule classes:
    input:
        reported=lambda wildcards: str(REPORTED / f"{wildcards.table}.csv"),
        scores=lambda wildcards: measured_scores(wildcards.table),
    output:
        csv=f"{RESULTS}/figures/classes_{{table}}.csv",
        png=report(
            f"{RESULTS}/figures/classes_{{table}}.png",
            category="3 Accuracy of each class",
            labels=lambda wildcards: {"methods of": table_title(wildcards.table)},
            caption="../report/classes.rst",
        ),
        pdf=f"{RESULTS}/figures/classes_{{table}}.pdf",
    log:
        f"{RESULTS}/logs/classes/{{table}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/classes/{{table}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        fusion=lambda wildcards: method_options(wildcards) + resampling(),
        stem=lambda wildcards: f"{RESULTS}/figures/classes_{wildcards.table}",
    shell:
        "python -m stp --log {log:q} classes {input.scores:q} --reported {input.reported:q} {params.fusion} -o {params.stem:q}"


rule curves:
    input:
        expand(
            f"{RESULTS}/runs/{RUN}/log.csv",
            fold=FOLDS,
            seed=SEEDS,
            allow_missing=True,
        ),
    output:
        png=report(
            f"{RESULTS}/figures/training/{{run_input}}_{{method}}.png",
            category="4 Training curves",
            labels=lambda wildcards: {
                "input and variant": f"{wildcards.run_input.upper()}, {wildcards.method}"
            },
            caption="../report/curves.rst",
        ),
        pdf=f"{RESULTS}/figures/training/{{run_input}}_{{method}}.pdf",
    log:
        f"{RESULTS}/logs/curves/{{run_input}}_{{method}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/curves/{{run_input}}_{{method}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        title=lambda wildcards: f"{wildcards.run_input.upper()}, {wildcards.method}",
        stem=lambda wildcards: f"{RESULTS}/figures/training/{wildcards.run_input}_{wildcards.method}",
    shell:
        "python -m stp --log {log:q} curves {input:q} --title {params.title:q} -o {params.stem:q}"


# The scores of methods beside the pyramid, for their clips, matrices and curves: once their table has been made, because
# the page is no reason to train them.
def trained_methods(wildcards):
    if not Path(f"{RESULTS}/methods.csv").is_file():
        return ""
    shown = scores_of(MODALITIES, VARIANTS)
    paths = [path for path in compared_scores(wildcards) if path not in shown]
    return shlex.join(path for path in paths if Path(path).is_file())


# The page of everything. The config is no param, which Snakemake would compare: a key that repeats no other job does not
# repeat this one.
rule overview:
    input:
        scores=scores_of(MODALITIES, VARIANTS),
        logs=scores_of(MODALITIES, VARIANTS, "log.csv"),
        index=f"{RESULTS}/index.csv",
        frames=expand(f"{RESULTS}/clips/rgb/{{shard}}.h5", shard=SHARDS),
        tables=expand(f"{RESULTS}/{{name}}.md", name=TABLES),
        predictions=f"{RESULTS}/predictions.csv",
        figures=FIGURES,
        examples=f"{RESULTS}/figures/examples",
    output:
        f"{RESULTS}/index.html",
    log:
        f"{RESULTS}/logs/overview.log",
    benchmark:
        f"{RESULTS}/benchmarks/overview.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        results=RESULTS,
        data=DATA,
        fusion=lambda wildcards: overview_options(wildcards) + resampling(),
        proposed=PROPOSED,
        previews=f"--previews {config['overview']['previews']} --megabytes {config['overview']['megabytes']}",
        methods=trained_methods,
        methods_made=written(f"{RESULTS}/methods.csv"),
    shell:
        "python -m stp --log {log:q} overview {params.results:q} {input.scores:q} {params.methods} --title {params.data:q} --proposed {params.proposed} {params.fusion} {params.previews} --config "
        + literal(CONFIG_TEXT)
        + " -o {output:q}"


# A page of each table for the report, which can show pages and pictures, but neither csv nor Markdown.
rule table_page:
    input:
        f"{RESULTS}/{{page}}.md",
    output:
        report(
            f"{RESULTS}/pages/{{page}}.html",
            category="1 Tables",
            labels=lambda wildcards: {"table": table_title(wildcards.page)},
            caption="../report/tables.rst",
        ),
    log:
        f"{RESULTS}/logs/pages/{{page}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pages/{{page}}.tsv"
    wildcard_constraints:
        page="|".join(TABLES),
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        data=DATA,
    shell:
        "python -m stp --log {log:q} paper {input:q} --title {params.data:q} -o {output:q}"


# The tables are inputs so that the page is made after them and shows the config that made them. They are not read.
rule config_page:
    input:
        expand(f"{RESULTS}/{{name}}.md", name=TABLES),
    output:
        report(
            f"{RESULTS}/pages/config.html",
            category="7 Config and versions",
            labels={"page": "Config and versions"},
            caption="../report/config.rst",
        ),
    log:
        f"{RESULTS}/logs/pages/config.log",
    benchmark:
        f"{RESULTS}/benchmarks/pages/config.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    params:
        data=DATA,
    shell:
        "python -m stp --log {log:q} paper --title {params.data:q} --config "
        + literal(CONFIG_TEXT)
        + " -o {output:q}"
