EXPLAIN = config["explain"]
# The clips by the names of their files.
EXPLAINED = {clip_file_name(clip): clip for clip in EXPLAIN["clips"]}
EXPLAINING = expand(
    f"{RESULTS}/runs/{RUN}/model.pt",
    run_input=MODALITIES,
    method=EXPLAIN["variants"],
    fold=EXPLAIN["fold"],
    seed=SEEDS[0],
)

# Figure 3 is of RGB and the first flow there is.
STREAMS = [
    *(name for name in MODALITIES if name == "rgb"),
    *[name for name in ("of", "wof") if name in MODALITIES][:1],
]
# The proposed pyramid stands for a variant that is not trained.
SHOWN = dict.fromkeys(
    name if name in VARIANTS else PROPOSED for name in EXPLAIN["variants"]
)


rule figure3:
    input:
        index=f"{RESULTS}/index.csv",
        models=expand(
            f"{RESULTS}/runs/{RUN}/model.pt",
            run_input=STREAMS,
            method=SHOWN,
            fold=EXPLAIN["fold"],
            seed=SEEDS[0],
        ),
        clips=expand(
            f"{RESULTS}/clips/{{modality}}/{{shard}}.h5",
            modality=dict.fromkeys(["rgb", *STREAMS]),
            shard=SHARDS,
        ),
    output:
        png=report(
            f"{RESULTS}/figures/figure3.png",
            category="6 Explanations",
            labels={"clip": "Figure 3"},
            caption="../report/figure3.rst",
        ),
        pdf=f"{RESULTS}/figures/figure3.pdf",
    log:
        f"{RESULTS}/logs/figure3.log",
    benchmark:
        f"{RESULTS}/benchmarks/figure3.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=config["compute"]["mem_mb"],
        runtime=120,
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        gpu_share=config["compute"]["gpu_share"],
    params:
        stem=f"{RESULTS}/figures/figure3",
        number=EXPLAIN["number"],
        seed=EXPLAIN["seed"],
        models=lambda wildcards, input: repeated("--run", input.models),
        segments=EXPLAIN["segments"],
        crops=config["scoring"]["crops"],
    shell:
        "python -m stp --log {log:q} figure3 {input.index:q} {input.clips:q} {params.models} --number {params.number} --seed {params.seed} --segments {params.segments} --crops {params.crops} --device {resources.device:q} --gpu-share {resources.gpu_share} --threads {threads} -o {params.stem:q}"


rule explain:
    input:
        index=f"{RESULTS}/index.csv",
        models=EXPLAINING,
        clips=expand(
            f"{RESULTS}/clips/{{modality}}/{{shard}}.h5",
            modality=dict.fromkeys(["rgb", *MODALITIES]),
            shard=SHARDS,
        ),
    output:
        png=report(
            f"{RESULTS}/figures/explain/{{file}}.png",
            category="6 Explanations",
            labels=lambda wildcards: {"clip": EXPLAINED[wildcards.file]},
            caption="../report/explain.rst",
        ),
        pdf=f"{RESULTS}/figures/explain/{{file}}.pdf",
        mp4=report(
            f"{RESULTS}/figures/explain/{{file}}.mp4",
            category="6 Explanations",
            labels=lambda wildcards: {"clip": f"{EXPLAINED[wildcards.file]} (video)"},
            caption="../report/explain.rst",
        ),
    log:
        f"{RESULTS}/logs/explain/{{file}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/explain/{{file}}.tsv"
    wildcard_constraints:
        file="|".join(map(re.escape, EXPLAINED)) or "(?!)",
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=config["compute"]["mem_mb"],
        runtime=120,
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        gpu_share=config["compute"]["gpu_share"],
    params:
        clip=lambda wildcards: EXPLAINED[wildcards.file],
        folder=f"{RESULTS}/figures/explain",
        models=lambda wildcards, input: repeated("--run", input.models),
        shards=lambda wildcards, input: repeated("--clips", input.clips),
        target=lambda wildcards: EXPLAIN["class"],
        segments=EXPLAIN["segments"],
        crops=config["scoring"]["crops"],
        recorded_device=RECORDED_DEVICE,
        recorded_gpu_share=1,  # the default of compute.gpu_share, recorded for the same reason
    shell:
        "python -m stp --log {log:q} explain {params.models} --index {input.index:q} {params.shards} --class {params.target:q} --segments {params.segments} --crops {params.crops} --device {resources.device:q} --gpu-share {resources.gpu_share} --threads {threads} -o {params.folder:q} -- {params.clip:q}"


rule figure4:
    input:
        index=f"{RESULTS}/index.csv",
        clips=expand(f"{RESULTS}/clips/rgb/{{shard}}.h5", shard=SHARDS),
    output:
        png=report(
            f"{RESULTS}/figures/figure4.png",
            category="5 Sample clips",
            labels={"clip": "Figure 4: all classes"},
            caption="../report/figure4.rst",
        ),
        pdf=f"{RESULTS}/figures/figure4.pdf",
    log:
        f"{RESULTS}/logs/figure4.log",
    benchmark:
        f"{RESULTS}/benchmarks/figure4.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    params:
        stem=f"{RESULTS}/figures/figure4",
    shell:
        "python -m stp --log {log:q} figure4 {input.index:q} {input.clips:q} -o {params.stem:q}"


# The clips are known only when the index is, so the output is a folder.
rule examples:
    input:
        index=f"{RESULTS}/index.csv",
        clips=expand(
            f"{RESULTS}/clips/{{modality}}/{{shard}}.h5",
            modality=dict.fromkeys(["rgb", *MODALITIES]),
            shard=SHARDS,
        ),
    output:
        report(
            directory(f"{RESULTS}/figures/examples"),
            patterns=["{clip}.{kind,png|mp4}"],
            category="5 Sample clips",
            labels=lambda wildcards: {
                "clip": as_label(wildcards.clip)
                + (" (video)" if wildcards.kind == "mp4" else "")
            },
            caption="../report/examples.rst",
        ),
    log:
        f"{RESULTS}/logs/examples.log",
    benchmark:
        f"{RESULTS}/benchmarks/examples.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    params:
        clips=lambda wildcards: repeated("--clip", config["examples"]["clips"]),
        number=config["examples"]["number"],
    shell:
        "python -m stp --log {log:q} examples {input.index:q} {input.clips:q} {params.clips} --number {params.number} -o {output:q}"
