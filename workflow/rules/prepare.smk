# Decode, check, resize and split the images of a dataset.


rule prepare:
    input:
        "data/raw/{dataset}/fetched.json",
    output:
        images="data/prepared/{resolution}/{dataset}/images.npy",
        manifest="data/prepared/{resolution}/{dataset}/manifest.json",
    log:
        f"{P}/logs/prepare/{{dataset}}_{{resolution}}.log",
    wildcard_constraints:
        resolution="[0-9]+",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        entry=dataset_entry,
        code=code(*(f"data/{name}.py" for name in ("images", "colour", "labels", "pairs", "prepare", "split"))),
    message:
        "preparing {wildcards.dataset} at {wildcards.resolution} px"
    shell:
        "python -m data prepare --dataset {wildcards.dataset} --resolution {wildcards.resolution} 2>&1 | tee {log} >&2"
