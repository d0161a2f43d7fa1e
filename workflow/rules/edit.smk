"""Edits, one by one image, with every method; and the tuning of methods on held-out groups."""


rule edit_groups:
    """Edits on every edit sample with every setting of some methods, each measured: one row an edit."""
    input:
        given=ancient(given("edit_groups")),
        weights=weights("edit_groups"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
        tokens=ancient("<results>/{backbone}/tokens/images.parquet"),
        artifacts=artifact_files,
    output:
        rows="<results>/{backbone}/edits/{methods}.parquet",
    log:
        "<logs>/edit_groups/{backbone}/{methods}.log",
    benchmark:
        "<benchmarks>/edit_groups/{backbone}/{methods}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(120),
        gpu=1,
    params:
        config=EFFECTIVE,
        ablation="",
        state=state_file("edit_groups", ".parquet"),
        shard="1of1",
        methods=methods_of,
        artifacts=artifact_flags,
        depends=depends("edit_groups"),
        code=lambda wildcards: lineage.code("edit_groups", *methods_of(wildcards).split("-")),
        data=data_version("edit_groups"),
    message:
        "Editing {wildcards.backbone} with {wildcards.methods}"
    shell:
        "vitedit edit-groups --config {params.config} {params.ablation} --threads {threads}"
        " --backbone {wildcards.backbone} --methods {params.methods}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice} --tokens {input.tokens}"
        " {params.artifacts} --state {params.state} --shard {params.shard} --output {output.rows} &> {log}"


use rule edit_groups as edit_shard with:
    output:
        rows="<results>/{backbone}/edits/{methods}/{shard}.parquet",
    log:
        "<logs>/edit_groups/{backbone}/{methods}/{shard}.log",
    benchmark:
        "<benchmarks>/edit_groups/{backbone}/{methods}/{shard}.tsv"
    params:
        shard="{shard}",
    message:
        "Editing {wildcards.backbone} with {wildcards.methods}, part {wildcards.shard}"


rule join_edits:
    """The rows of all shards of some methods, where a run spreads their edits over several jobs."""
    input:
        shards=expand("<results>/{{backbone}}/edits/{{methods}}/{shard}.parquet", shard=SHARDS),
    output:
        rows="<results>/{backbone}/edits/{methods}.parquet",
    log:
        "<logs>/join_edits/{backbone}/{methods}.log",
    benchmark:
        "<benchmarks>/join_edits/{backbone}/{methods}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=EFFECTIVE,
        ablation="",
        methods=methods_of,
        depends=depends("edit_groups"),
        code=lineage.code("join_edits"),
    message:
        "Edits of {wildcards.backbone} with {wildcards.methods}"
    shell:
        "vitedit join-edits --config {params.config} {params.ablation} --threads {threads}"
        " --backbone {wildcards.backbone} --methods {params.methods} --shards {input.shards}"
        " --output {output.rows} &> {log}"


rule show_edits:
    """One edit a group with a few methods: what single images were taken for before and after."""
    input:
        given=ancient(given("show_edits")),
        weights=weights("show_edits"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
        tokens=ancient("<results>/{backbone}/tokens/images.parquet"),
        artifacts=lambda wildcards: artifact_files(wildcards, SHOWN),
    output:
        rows="<results>/{backbone}/shown_edits.parquet",
    log:
        "<logs>/show_edits/{backbone}.log",
    benchmark:
        "<benchmarks>/show_edits/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        artifacts=lambda wildcards: artifact_flags(wildcards, SHOWN),
        depends=depends("show_edits"),
        code=lineage.code("show_edits", *CONFIG.shown_methods),
        data=data_version("show_edits"),
    message:
        "Edits of {wildcards.backbone} to show"
    shell:
        "vitedit show-edits --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice} --tokens {input.tokens}"
        " {params.artifacts} --output {output.rows} &> {log}"


rule tune:
    """Tries the hyper-parameters of some methods on held-out groups."""
    input:
        given=ancient(given("tune")),
        weights=weights("tune"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
        tokens=ancient("<results>/{backbone}/tokens/images.parquet"),
        artifacts=artifact_files,
    output:
        trials="<results>/{backbone}/tuning/{methods}.parquet",
    log:
        "<logs>/tune/{backbone}/{methods}.log",
    benchmark:
        "<benchmarks>/tune/{backbone}/{methods}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
        gpu=1,
    params:
        config=EFFECTIVE,
        artifacts=artifact_flags,
        depends=depends("tune"),
        code=lambda wildcards: lineage.code("tune", *wildcards.methods.split("-")),
        data=data_version("tune"),
    message:
        "Tuning {wildcards.methods} on {wildcards.backbone}"
    shell:
        "vitedit tune --config {params.config} --threads {threads}"
        " --backbone {wildcards.backbone} --methods {wildcards.methods}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice} --tokens {input.tokens}"
        " {params.artifacts} --output {output.trials} &> {log}"


rule tuning:
    """All trials as a table, and the best of each method as a configuration to lay over the run's."""
    input:
        brought=brought,
        trials=expand(
            "<results>/{backbone}/tuning/{methods}.parquet",
            backbone=CONFIG.backbones,
            methods=lineage.lots(CONFIG, CONFIG.tuned_methods),
        ),
    output:
        table="<results>/tuning.parquet",
        text="<results>/tuning.csv",
        tuned="<results>/tuned.yaml",
    log:
        "<logs>/tuning.log",
    benchmark:
        "<benchmarks>/tuning.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(30),
    params:
        config=EFFECTIVE,
        code=lineage.code("tuning"),
    message:
        "Table of all trials"
    shell:
        "vitedit tuning --config {params.config} --threads {threads} --output {output.table}"
        " --tuned {output.tuned} &> {log}"
