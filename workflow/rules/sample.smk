# Samples as one .npz per run, and the same from folders of samples made elsewhere.


rule sample:
    input:
        "methods/sample.py",
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/full/run.json",
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/full/model.safetensors",
    output:
        f"{P}/samples/{{dataset}}/{{method}}/seed{{seed}}.npz",
    log:
        f"{P}/logs/sample/{{dataset}}_{{method}}_seed{{seed}}.log",
    wildcard_constraints:
        method=either(config["methods"]),
    conda:
        "../../environment.yml"
    threads: TRAINING["threads"]
    resources:
        gpu=gpus,
        mem_mb=TRAINING["memory_mb"],
    params:
        run=lambda wildcards, input: str(Path(input.run).parent),
        n=config["sampling"]["n"],
        rows=config["sampling"]["interpolation_rows"],
        steps=config["sampling"]["interpolation_steps"],
        threads=TRAINING["threads"],  # not {threads}, which --cores may cut: sums depend on it
    message:
        "sampling {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        "python -m methods sample --run {params.run} --out {output} -n {params.n} --rows {params.rows}"
        " --steps {params.steps} --threads {params.threads} > {log} 2>&1"


rule import_external:
    input:
        lambda wildcards: sorted(Path("data/external", wildcards.method, wildcards.dataset).iterdir()),
    output:
        f"{P}/samples/{{dataset}}/{{method}}/seed0.npz",
    log:
        f"{P}/logs/external/{{dataset}}_{{method}}.log",
    wildcard_constraints:
        method=either(name for _, name, _ in externals()),
    conda:
        "../../environment.yml"
    params:
        resolution=config["resolution"],
    message:
        "reading the samples of {wildcards.method} on {wildcards.dataset}"
    shell:
        "python -m metrics external --folder data/external/{wildcards.method}/{wildcards.dataset}"
        " --resolution {params.resolution} --out {output} > {log} 2>&1"
