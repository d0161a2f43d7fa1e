"""Many edits: one after another on one model, and one edit from many failures (not in the paper)."""


rule find_failures:
    """What a backbone gets wrong in labelled sets: failures to edit, their neighbours, and other images."""
    input:
        given=ancient(given("find_failures")),
        weights=weights("find_failures"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
    output:
        failures="<results>/{backbone}/failures.parquet",
    log:
        "<logs>/find_failures/{backbone}.log",
    benchmark:
        "<benchmarks>/find_failures/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("find_failures"),
        code=lineage.code("find_failures"),
        data=data_version("find_failures"),
    message:
        "Failures of {wildcards.backbone}"
    shell:
        "vitedit find-failures --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality} --output {output.failures} &> {log}"


rule edit_many:
    """Sequences of edits, and edits from many failures, with some methods: one row an edit."""
    input:
        given=ancient(given("edit_many")),
        weights=weights("edit_many"),
        failures="<results>/{backbone}/failures.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
        artifacts=artifact_files,
    output:
        rows="<results>/{backbone}/many/{methods}.parquet",
    log:
        "<logs>/edit_many/{backbone}/{methods}.log",
    benchmark:
        "<benchmarks>/edit_many/{backbone}/{methods}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
        gpu=1,
    params:
        config=EFFECTIVE,
        state=state_file("edit_many", ".parquet"),
        artifacts=artifact_flags,
        depends=depends("edit_many"),
        code=lambda wildcards: lineage.code("edit_many", *methods_of(wildcards).split("-")),
        data=data_version("edit_many"),
    message:
        "Editing {wildcards.backbone} again and again with {wildcards.methods}"
    shell:
        "vitedit edit-many --config {params.config} --threads {threads}"
        " --backbone {wildcards.backbone} --methods {wildcards.methods} --failures {input.failures}"
        " --locality {input.locality} --choice {input.choice} {params.artifacts} --state {params.state}"
        " --output {output.rows} &> {log}"


rule many_edits:
    """Sequences and combined edits of every method as one table; `snakemake` then shows them."""
    input:
        brought=brought,
        rows=per_ablated_backbone(*(f"many/{lot}.parquet" for lot in lineage.lots(CONFIG, CONFIG.editors))),
    output:
        table=MANY.file,
    log:
        "<logs>/many_edits.log",
    benchmark:
        "<benchmarks>/many_edits.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=EFFECTIVE,
        code=lineage.code("many_edits"),
    message:
        "Table of many edits"
    shell:
        "vitedit many-edits --config {params.config} --threads {threads} --output {output.table} &> {log}"
