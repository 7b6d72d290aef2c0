# Tables 1-3 of the paper, each as CSV, Markdown and LaTeX.


rule rendering_settings:
    output:
        f"{P}/rendering.json",
    log:
        f"{P}/logs/rendering_settings.log",
    conda:
        "../../environment.yml"
    params:
        settings=rendering_settings(),
    message:
        "writing what tables and figures must know of the configuration"
    shell:
        "printf '%s' {params.settings:q} > {output} 2> {log}"


rule table:
    input:
        metrics=f"{P}/metrics.csv",
        settings=f"{P}/rendering.json",
        scripts=code("workflow/scripts/tables.py"),
    output:
        csv=f"{P}/tables/table{{number}}.csv",
        md=report(
            f"{P}/tables/table{{number}}.md",
            caption="../captions/table.rst",
            category="Tables",
        ),
        tex=f"{P}/tables/table{{number}}.tex",
    log:
        f"{P}/logs/tables/table{{number}}.log",
    conda:
        "../../environment.yml"
    message:
        "rendering Table {wildcards.number}"
    shell:
        "python -m workflow.scripts.tables --metrics {input.metrics} --settings {input.settings}"
        " --table {wildcards.number} --out-csv {output.csv} --out-md {output.md} --out-tex {output.tex} > {log} 2>&1"


rule published:
    input:
        run_files("run.json"),
        metrics=f"{P}/metrics.csv",
        settings=f"{P}/rendering.json",
        scripts=code("workflow/scripts/published.py"),
        published="workflow/published.csv",
    output:
        csv=f"{P}/tables/published.csv",
        md=report(
            f"{P}/tables/published.md",
            caption="../captions/published.rst",
            category="Tables",
        ),
    log:
        f"{P}/logs/tables/published.log",
    conda:
        "../../environment.yml"
    params:
        results=lambda wildcards, input: str(Path(input.settings).parent),
    message:
        "setting measured beside published numbers"
    shell:
        "python -m workflow.scripts.published --settings {input.settings} --results {params.results}"
        " --out-csv {output.csv} --out-md {output.md} > {log} 2>&1"


rule tables:
    input:
        [f"{P}/tables/table{number}.md" for number in table_numbers()],
        rules.published.output,


# Without inputs: it looks at what is there, and rebuilds nothing.
rule verify:
    log:
        f"{P}/logs/verify.log",
    conda:
        "../../environment.yml"
    params:
        results=P,
        prepared=PREPARED,
    message:
        "following every number of {params.results} back to the images"
    shell:
        "python -m workflow.scripts.verify --results {params.results} --prepared {params.prepared} 2>&1 | tee {log}"
