# Features of each clip, made once for all folds. A method that sees them names them in its key `features`.
rule features:
    input:
        f"{RESULTS}/clips/{{modality}}/{{shard}}.h5",
    output:
        f"{RESULTS}/clips/{{features}}-{{modality}}/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/features/{{features}}-{{modality}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{features}}-{{modality}}/{{shard}}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: config["compute"]["threads"]
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=growing(120),
        gpu=config["compute"]["gpus"],
        device=config["compute"]["device"],
        resident=config["compute"]["resident"],
        memory_share=MEMORY_SHARE,
        gpu_share=config["compute"]["gpu_share"],
    params:
        settings=lambda wildcards: json.dumps(
            CONFIG.features.get(wildcards.features, {}), sort_keys=True
        ),
        written=lambda wildcards: own_written(
            CONFIG.features.get(wildcards.features, {})
        ),
    shell:
        "python -m stp --log {log:q} features {wildcards.features} {input:q} --settings {params.settings:q} --device {resources.device:q} --resident {resources.resident} --memory-share {resources.memory_share} --gpu-share {resources.gpu_share} --threads {threads} -o {output:q}"


# Features that are inputs by their own names, each from all the modalities that it is made from.
use rule features as features_of_several with:
    input:
        lambda wildcards: expand(
            f"{RESULTS}/clips/{{source}}/{{shard}}.h5",
            source=CONFIG.sources(wildcards.features),
            shard=wildcards.shard,
        ),
    output:
        f"{RESULTS}/clips/{{features}}/{{shard}}.h5",
    log:
        f"{RESULTS}/logs/features/{{features}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{features}}/{{shard}}.tsv"
    resources:
        mem_mb=growing(config["compute"]["mem_mb"]),
        runtime=growing(720),
        gpu=0,
        device="cpu",
        resident="never",
        memory_share=MEMORY_SHARE,
        gpu_share=1,
