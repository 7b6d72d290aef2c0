# Decode, check, resize and split the images of a dataset.


rule prepare:
    input:
        "data/raw/{dataset}/fetched.json",
    output:
        images=f"{PREPARED}/{{dataset}}/images.npy",
        manifest=f"{PREPARED}/{{dataset}}/manifest.json",
    log:
        f"{P}/logs/prepare/{{dataset}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        resolution=PRESET.resolution,
        entry=dataset_entry,
        code=code("data/images.py", "data/prepare.py", "data/split.py"),
    message:
        "preparing {wildcards.dataset} at {params.resolution} px"
    shell:
        "python -m data prepare --dataset {wildcards.dataset} --resolution {params.resolution} 2>&1 | tee {log} >&2"
