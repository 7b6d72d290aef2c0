# Samples as one .npz per run; also from folders with samples of other models.


rule sample:
    input:
        run=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/full/run.json",
        model=f"{P}/runs/{{dataset}}/{{method}}/seed{{seed}}/full/model.safetensors",
    output:
        f"{P}/samples/{{dataset}}/{{method}}/seed{{seed}}.npz",
    log:
        f"{P}/logs/sample/{{dataset}}_{{method}}_seed{{seed}}.log",
    wildcard_constraints:
        method=either(PRESET.methods),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=gpus_of_method,
        mem_mb=PRESET.training.memory_mb,  # a control draws all samples at once
        runtime=120,
    params:
        run=lambda wildcards, input: str(Path(input.run).parent),
        n=PRESET.sampling.n,
        rows=PRESET.sampling.interpolation_rows,
        steps=PRESET.sampling.interpolation_steps,
        threads=THREADS,  # not {threads}, which --cores may cut: sums depend on it
        code=code("training/sampling.py"),
    message:
        "sampling {wildcards.method} on {wildcards.dataset} (seed {wildcards.seed})"
    shell:
        "python -m training sample --run {params.run} --out {output} -n {params.n} --rows {params.rows}"
        " --steps {params.steps} --threads {params.threads} > {log} 2>&1"


rule import_external:
    output:
        f"{P}/samples/{{dataset}}/{{method}}/seed0.npz",
    log:
        f"{P}/logs/external/{{dataset}}_{{method}}.log",
    wildcard_constraints:
        method=either(name for _, name, _ in externals()),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        resolution=PRESET.resolution,
        take=PRESET.sampling.n,  # no protocol takes more
        # The files are no inputs: their dates say nothing about their content, and their names may have braces.
        contents=lambda wildcards: external_contents(wildcards.dataset, wildcards.method),
        code=code(*(f"data/{name}.py" for name in ("external", "images", "colour", "archive", "survey", "supplied"))),
    message:
        "reading the samples of {wildcards.method} on {wildcards.dataset}"
    shell:
        "python -m data external --folder data/external/{wildcards.method}/{wildcards.dataset}"
        " --resolution {params.resolution} --take {params.take} --out {output} 2>&1 | tee {log} >&2"
