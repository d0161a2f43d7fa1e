"""What is learned once a backbone: the layers, the network that picks the weights inside them, what other methods need."""


rule search_layers:
    """Greedy search over windows of consecutive blocks (paper Fig. 2)."""
    input:
        given=ancient(given("search_layers")),
        weights=weights("search_layers"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
    output:
        rows="<results>/{backbone}/layers.parquet",
        choice="<results>/{backbone}/layers.json",
    log:
        "<logs>/search_layers/{backbone}.log",
    benchmark:
        "<benchmarks>/search_layers/{backbone}.tsv"
    priority: 30
    conda:
        "../../environment.yml"
    threads: 1  # a job that wants two of two cores would wait until the very end
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(240),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("search_layers"),
        code=lineage.code("search_layers"),
        data=data_version("search_layers"),
    message:
        "Layer search on {wildcards.backbone}"
    shell:
        "vitedit search-layers --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality}"
        " --rows {output.rows} --choice {output.choice} &> {log}"


rule store_tokens:
    """Prefix tokens of the groups and of the locality set, for all jobs that edit the backbone."""
    input:
        given=ancient(given("store_tokens")),
        weights=weights("store_tokens"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
    output:
        images="<results>/{backbone}/tokens/images.parquet",
    log:
        "<logs>/store_tokens/{backbone}.log",
    benchmark:
        "<benchmarks>/store_tokens/{backbone}.tsv"
    priority: 25
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("store_tokens"),
        most=CONFIG.token_store_gb,
        code=lineage.code("store_tokens"),
        data=data_version("store_tokens"),
    message:
        "Prefix tokens of {wildcards.backbone}"
    shell:
        "vitedit store-tokens --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice}"
        " --output {output.images} &> {log}"


rule meta_train:
    """Meta-trains the hypernetwork, going on where an interrupted training stopped; or takes `meta_train.checkpoint` over."""
    input:
        given=ancient(given("meta_train")),
        weights=weights("meta_train"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
        choice="<results>/{backbone}/layers.json",
    output:
        hypernet="<results>/{backbone}/hypernet.safetensors",
        log_table="<results>/{backbone}/hypernet_log.parquet",
    log:
        "<logs>/meta_train/{backbone}.log",
    benchmark:
        "<benchmarks>/meta_train/{backbone}.tsv"
    priority: 20
    conda:
        "../../environment.yml"
    threads: 1  # of two, so that edits that need no hypernetwork run beside it
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(720),
        gpu=1,
    params:
        state=state_file("meta_train", ".pt"),
        ablation="",
        config=EFFECTIVE,
        depends=depends("meta_train"),
        code=lineage.code("meta_train"),
        data=data_version("meta_train"),
    message:
        f"{'Taking over' if CONFIG.meta_train.checkpoint else 'Meta-training'} the hypernetwork of {{wildcards.backbone}}"
    shell:
        "vitedit meta-train --config {params.config} {params.ablation} --threads 2 --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality} --choice {input.choice}"
        " --state {params.state} --output {output.hypernet} --log-table {output.log_table} &> {log}"


rule collect_statistics:
    """What T-Patcher, ROME, X-Edit and refine_heads need to know of pre-training images."""
    input:
        given=ancient(given("collect_statistics")),
        weights=weights("collect_statistics"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
    output:
        memory="<results>/{backbone}/memory.safetensors",
        covariance="<results>/{backbone}/covariance.safetensors",
        null_space="<results>/{backbone}/null_space.safetensors",
        anchors="<results>/{backbone}/anchors.safetensors",
    log:
        "<logs>/collect_statistics/{backbone}.log",
    benchmark:
        "<benchmarks>/collect_statistics/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(60),
        gpu=1,
    params:
        config=EFFECTIVE,
        depends=depends("collect_statistics"),
        code=lineage.code("collect_statistics"),
        data=data_version("collect_statistics"),
    message:
        "Memory, key covariance, null space and anchors of {wildcards.backbone}"
    shell:
        "vitedit collect-statistics --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --benchmark {input.benchmark} --locality {input.locality} --memory {output.memory}"
        " --covariance {output.covariance} --null-space {output.null_space} --anchors {output.anchors} &> {log}"


rule train_editor:
    """Meta-trains a network that predicts the edit itself; goes on where an interrupted training stopped."""
    input:
        given=ancient(given("train_editor")),
        weights=weights("train_editor"),
        benchmark="<results>/{backbone}/benchmark.parquet",
        locality="<results>/{backbone}/locality.parquet",
    output:
        network="<results>/{backbone}/{network}.safetensors",
        log_table="<results>/{backbone}/{network}_log.parquet",
    log:
        "<logs>/train_editor/{backbone}/{network}.log",
    benchmark:
        "<benchmarks>/train_editor/{backbone}/{network}.tsv"
    priority: 10
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=scaled(4000),
        runtime=scaled(480),
        gpu=1,
    params:
        state=f"{RESULTS}/state/{{backbone}}-{{network}}.pt",
        config=EFFECTIVE,
        depends=depends("train_editor"),
        code=lineage.code("train_editor"),
        data=data_version("train_editor"),
    message:
        "Meta-training {wildcards.network} of {wildcards.backbone}"
    shell:
        "vitedit train-editor --config {params.config} --threads {threads} --backbone {wildcards.backbone}"
        " --network {wildcards.network} --benchmark {input.benchmark} --locality {input.locality}"
        " --state {params.state} --output {output.network} --log-table {output.log_table} &> {log}"
