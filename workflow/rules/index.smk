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

    # What the actors see, drawn only for methods that see it, too.
    use rule demo as demo_first_person with:
        output:
            directory(FIRST_PERSON_VIDEOS),
        log:
            f"{RESULTS}/logs/demo_first_person.log",
        benchmark:
            f"{RESULTS}/benchmarks/demo_first_person.tsv"
        params:
            demo=f"{rules.demo.params.demo} --first-person",


# What rule index checks before it decodes the videos. It leaves the index as it is, so it is no param. The demo's
# first-person videos are drawn later.
CHECKED_NAMES = json.dumps(
    {
        "explain.clips": config["explain"]["clips"],
        "explain.class": (
            [config["explain"]["class"]] if config["explain"]["clips"] else []
        ),
        "examples.clips": config["examples"]["clips"],
    }
)
CHECKED_VIEWS = [] if "demo" in config else FIRST_PERSON


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
            "" if "demo" in config else fingerprint(DATASET["path"], DATASET["lists"])
        ),
        lists=lambda wildcards: (
            fingerprint(DATASET["lists"]) if DATASET["lists"] else ""
        ),
        on_bad_video=config["on_bad_video"],
    shell:
        "python -m stp --log {log:q} index {params.path:q} {params.importing} --keep --on-bad-video {params.on_bad_video} --named "
        + literal(CHECKED_NAMES)
        + f" {repeated('--first-person-for', CHECKED_VIEWS)}"
        + " --threads {threads} -o {output.index:q} --skipped {output.skipped:q}"


# The index of the clips' first-person videos. It runs early, so that videos that are missing are reported before hours of
# flow. The methods that see them are named in messages alone, so they are no param.
rule first_person:
    input:
        index=f"{RESULTS}/index.csv",
        videos=[FIRST_PERSON_VIDEOS] if "demo" in config else [],
    output:
        f"{RESULTS}/first_person.csv",
    log:
        f"{RESULTS}/logs/first_person.log",
    benchmark:
        f"{RESULTS}/benchmarks/first_person.tsv"
    priority: 1
    conda:
        "../../envs/environment.yaml"
    threads: 8
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
        gpu=0,
    params:
        folder=repeated("--videos", [FIRST_PERSON_VIDEOS] if "demo" in config else []),
        videos=rules.index.params.videos,
        on_bad_video=config["on_bad_video"],
    shell:
        "python -m stp --log {log:q} first-person {input.index:q} {params.folder} --keep --on-bad-video {params.on_bad_video} "
        + repeated("--for", FIRST_PERSON)
        + " --threads {threads} -o {output:q}"
