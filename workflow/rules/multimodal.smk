# Tables `super_resolution` and `layouts`, Figures 4 and 5, and their page, of presets with tasks: one job, because each
# takes less time than the start of another.  Figure 5 is the same in every preset; its files are copied.


rule multimodal:
    input:
        run_files("run.json", ["train"]),
        per_cell("{P}/metrics/{dataset}/{method}/seed{seed}/answers.npz", answered()),
        expand("workflow/rendering/{name}", name=["multimodal.html.j2", "report.css"]),
        rules.nn_direction.output,
        metrics=f"{P}/metrics.csv",
    output:
        expand(f"{P}/tables/{{table}}.{{suffix}}", table=answer_tables(PRESET), suffix=["csv", "md", "tex"]),
        expand(f"{P}/figures/{{figure}}.{{suffix}}", figure=["figure4", "figure5"], suffix=["png", "pdf"]),
        f"{P}/tables/directions.csv",
        # The report of a preset that has only tasks; of others, a page beside it.
        page=f"{P}/multimodal.html" if PRESET.datasets else f"{P}/report.html",
    log:
        f"{P}/logs/multimodal.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=SMALL_MB,
        runtime=60,
    params:
        printed=digest([printed(PRESET), PRESET.command]),
        directions=DIRECTIONS,
        code=code("workflow/rendering/multimodal.py", "workflow/rendering/figure4.py"),
    message:
        "tables, figures and page of the tasks"
    script:
        "../scripts/multimodal.py"
