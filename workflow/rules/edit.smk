"""Edits, one by one image, with every method."""


rule edit_groups:
    """Edits on every edit sample of a subset with every setting of a method, each measured: one row an edit."""
    input:
        given=ancient(given("edit_groups")),
        weights=weights("edit_groups"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
        artifacts=artifact_files,
    output:
        rows="<results>/{backbone}/edits/{method}/{subset}.parquet",
    log:
        "<logs>/edit_groups/{backbone}/{method}/{subset}.log",
    benchmark:
        "<benchmarks>/edit_groups/{backbone}/{method}/{subset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=1,
    params:
        config=EFFECTIVE,
        artifacts=artifact_flags,
        depends=depends("edit_groups"),
        code=lambda wildcards: lineage.code("edit_groups", wildcards.method),
        data=data_version("edit_groups"),
    message:
        "Editing {wildcards.backbone} on {wildcards.subset} with {wildcards.method}"
    shell:
        "vitedit edit-groups --config {params.config} --threads {threads}"
        " --backbone {wildcards.backbone} --method {wildcards.method} --subset {wildcards.subset}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice} {params.artifacts}"
        " --output {output.rows} &> {log}"
