# Tables 1-3 of the paper, each as CSV, Markdown and LaTeX.
from workflow.rendering.answers import filled as answer_tables
from workflow.rendering.contents import FIGURES, printed, tables_of


rule table:
    input:
        run_files("run.json"),
        metrics=f"{P}/metrics.csv",
    output:
        csv=f"{P}/tables/table{{number}}.csv",
        md=f"{P}/tables/table{{number}}.md",
        tex=f"{P}/tables/table{{number}}.tex",
    log:
        f"{P}/logs/tables/table{{number}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=digest(printed(PRESET)),  # not the texts: Snakemake formats braces in parameters
        code=code("workflow/rendering/notation.py"),
    message:
        "rendering Table {wildcards.number}"
    script:
        "../scripts/table.py"


rule published:
    input:
        run_files("run.json"),
        "workflow/published.csv",
        metrics=f"{P}/metrics.csv",
    output:
        csv=f"{P}/tables/published.csv",
        md=f"{P}/tables/published.md",
    log:
        f"{P}/logs/tables/published.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=30,
    params:
        printed=digest(printed(PRESET)),  # not the texts: Snakemake formats braces in parameters
        code=code("workflow/rendering/published.py"),
    message:
        "comparing published with measured numbers"
    script:
        "../scripts/published.py"


rule tables:
    input:
        expand(f"{P}/tables/table{{number}}.md", number=tables_of(PRESET)),
        rules.published.output if PRESET.datasets else [],
        expand(f"{P}/tables/{{table}}.md", table=answer_tables(PRESET)),


localrules:
    tables,
    verify,


# No inputs: it checks the existing files and runs no other rule.
rule verify:
    log:
        f"{P}/logs/verify.log",
    conda:
        "../../environment.yml"
    params:
        results=P,
    message:
        "tracing every number of {params.results} back to the images"
    shell:
        "python -m workflow.rendering.verify {params.results} 2>&1 | tee {log}"
