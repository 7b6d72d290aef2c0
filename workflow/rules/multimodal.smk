# Tables `super_resolution` and `layouts`, and Figures 4 and 5, of presets with tasks.
from workflow.rendering.answers import filled as answer_tables


rule answer_table:
    input:
        run_files("run.json", ["train"]),
        metrics=f"{P}/metrics.csv",
    output:
        csv=f"{P}/tables/{{table}}.csv",
        md=f"{P}/tables/{{table}}.md",
        tex=f"{P}/tables/{{table}}.tex",
    log:
        f"{P}/logs/tables/{{table}}.log",
    wildcard_constraints:
        table="super_resolution|layouts",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=digest(printed(PRESET)),
        code=code("workflow/rendering/answers.py"),
    message:
        "rendering the table {wildcards.table}"
    script:
        "../scripts/answer_table.py"


rule figure4:
    input:
        run_files("run.json", ["train"]),
        per_cell("{P}/metrics/{dataset}/{method}/seed{seed}/answers.npz", answered()),
        metrics=f"{P}/metrics.csv",
    output:
        png=f"{P}/figures/figure4.png",
        pdf=f"{P}/figures/figure4.pdf",
    log:
        f"{P}/logs/figures/figure4.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        printed=digest(printed(PRESET)),
        code=code("workflow/rendering/figure4.py"),
    message:
        "drawing Figure 4"
    script:
        "../scripts/figure4.py"


localrules:
    figure5,


# Figure 5 is the same in every preset; a report embeds the files of its own folder.
rule figure5:
    input:
        png=f"{DIRECTIONS}/figure5.png",
        pdf=f"{DIRECTIONS}/figure5.pdf",
        numbers=f"{DIRECTIONS}/numbers.csv",
    output:
        png=f"{P}/figures/figure5.png",
        pdf=f"{P}/figures/figure5.pdf",
        numbers=f"{P}/tables/directions.csv",
    log:
        f"{P}/logs/figures/figure5.log",
    conda:
        "../../environment.yml"
    message:
        "copying Figure 5"
    shell:
        "cp {input.png} {output.png}; cp {input.pdf} {output.pdf}; cp {input.numbers} {output.numbers}"


# The report of a preset that has only tasks; of others, a page beside it.
rule multimodal_page:
    input:
        run_files("run.json", ["train"]),
        expand(f"{P}/tables/{{table}}.md", table=answer_tables(PRESET)),
        expand(f"{P}/figures/{{figure}}.png", figure=["figure4", "figure5"]),
        expand("workflow/rendering/{part}.html.j2", part=["multimodal", "multimodal_sections"]),
        metrics=f"{P}/metrics.csv",
    output:
        f"{P}/multimodal.html" if PRESET.datasets else f"{P}/report.html",
    log:
        f"{P}/logs/multimodal.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=digest([printed(PRESET), PRESET.command]),
        code=code("workflow/rendering/multimodal.py"),
    message:
        "writing {output}"
    script:
        "../scripts/multimodal.py"
