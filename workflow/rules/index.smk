if "demo" in config:

    rule demo:
        output:
            directory(DATASET["path"]),
        log:
            f"{RESULTS}/logs/demo.log",
        benchmark:
            f"{RESULTS}/benchmarks/demo.tsv"
        conda:
            "../../envs/environment.yaml"
        threads: 8
        resources:
            mem_mb=2000,
            runtime=30,
            gpu=0,
        params:
            demo=" ".join(
                f"--{key.replace('_', '-')} {value}"
                for key, value in config["demo"].items()
                if (key, value) != ("onset", "aligned")  # as drawn without this key
            ),
        shell:
            "python -m stp --log {log:q} demo {output:q} {params.demo} --threads {threads}"


# What rule index checks before it decodes the videos. It leaves the index as it is, so it is no param.
CHECKED_NAMES = json.dumps(
    {
        "explain.clips": config["explain"]["clips"],
        "explain.class": (
            [config["explain"]["class"]] if config["explain"]["clips"] else []
        ),
        "examples.clips": config["examples"]["clips"],
    }
)


rule index:
    input:
        [DATASET["path"]] if "demo" in config else [],
    output:
        index=f"{RESULTS}/index.csv",
        skipped=f"{RESULTS}/skipped.csv",
    log:
        f"{RESULTS}/logs/index.log",
    benchmark:
        f"{RESULTS}/benchmarks/index.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: 8
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
        gpu=0,
    params:
        importing=importing,
        path=lambda wildcards, input: input[0] if input else DATASET["path"],
        videos=lambda wildcards: (
            "" if "demo" in config else fingerprint(DATASET["path"])
        ),
        lists=lambda wildcards: (
            fingerprint(DATASET["lists"]) if DATASET["lists"] else ""
        ),
        on_bad_video=config["on_bad_video"],
    shell:
        "python -m stp --log {log:q} index {params.path:q} {params.importing} --keep --on-bad-video {params.on_bad_video} --named "
        + literal(CHECKED_NAMES)
        + " --threads {threads} -o {output.index:q} --skipped {output.skipped:q}"
