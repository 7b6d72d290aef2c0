# Decode, check, resize and split the images of a dataset.


rule prepare:
    input:
        "data/raw/{dataset}/fetched.json",
        collect("data/{name}.py", name=["images", "prepare", "split"]),
    output:
        images=f"{PREPARED}/{{dataset}}/images.npy",
        manifest=f"{PREPARED}/{{dataset}}/manifest.json",
    log:
        f"{P}/logs/prepare/{{dataset}}.log",
    conda:
        "../../environment.yml"
    params:
        resolution=config["resolution"],
        entry=dataset_entry,
    message:
        "preparing {wildcards.dataset} at {params.resolution} px"
    shell:
        "python -m data prepare --dataset {wildcards.dataset} --resolution {params.resolution} > {log} 2>&1"
