"""What can be found out about a run's models before any job: they are built without weights, on torch's meta device."""

from collections.abc import Iterator, Mapping

import torch
from timm.models.vision_transformer import VisionTransformer

from vitedit.config import Config
from vitedit.data.images import read_classes
from vitedit.editors import check, editor_class
from vitedit.errors import ConfigError, ViteditError
from vitedit.model.last_block import LastBlock
from vitedit.model.sites import Part, find_sites
from vitedit.model.vit import Split, build_vit
from vitedit.where.heads import cut_before_heads
from vitedit.where.masks import kept_units
from vitedit.where.search import windows


def check_models(config: Config) -> None:
    """Builds the run's backbones and its stronger model, and looks for what would stop a later stage.

    Raises:
        ConfigError: timm cannot make a model, its outputs are not as many as the names of classes, it has no such block, a
            sparsity leaves nothing to edit, or the hypernetwork, the pseudo-samples or a method do not fit the model.
    """
    stronger = [config.benchmark.stronger] if config.benchmark.stronger else []
    vits = {name: _build(config, name) for name in dict.fromkeys([*config.backbones, *stronger])}
    for name, vit in vits.items():
        _check_classes(config, name, vit)
    for name in config.backbones:
        _check_backbone(config, name, vits[name])
    for ablation in [*config.ablation_names(trained=False), *config.trained_ablations]:
        _check_ablation(config, ablation, vits)


def _check_backbone(config: Config, name: str, vit: VisionTransformer) -> None:
    """Everything that is edited or learned, against one backbone."""
    _check_blocks(config, name, len(vit.blocks))
    _check_sparsities(config, name, vit)
    _check_trainings(config, name, vit)


def _check_ablation(config: Config, ablation: str, vits: Mapping[str, VisionTransformer]) -> None:
    """The same under an ablation, with its methods' settings.

    Raises:
        ConfigError: With the name of the ablation.
    """
    variant = config.under(ablation)
    try:
        check(variant)
        for name in config.ablated_backbones:
            _check_backbone(variant, name, vits[name])
    except ViteditError as error:
        raise ConfigError(f"ablations.{ablation.replace('/', '.')}: {error}") from None


def _build(config: Config, name: str) -> VisionTransformer:
    with torch.device("meta"):
        try:
            return build_vit(config.models[name])
        except ConfigError as error:
            raise ConfigError(f"models.{name}: {error}") from None


def _check_classes(config: Config, name: str, vit: VisionTransformer) -> None:
    """Names of classes, if they are there already, against the model's outputs."""
    if config.classes_file is not None and not config.classes_file.exists():
        return
    names = read_classes(config.classes)
    if names is not None and len(names) != vit.num_classes:
        raise ConfigError(
            f"classes: {config.classes} names {len(names)} classes, but the model '{name}' has {vit.num_classes} outputs "
            "(`architecture: { num_classes: N }`)."
        )


def _check_trainings(config: Config, name: str, vit: VisionTransformer) -> None:
    """What is learned once a backbone, against its width, its patches and its head."""
    width, heads = vit.embed_dim, config.meta_train.heads
    if "hypernet" in config.artifacts:
        if vit.cls_token is None:
            raise ConfigError(
                f"'{name}' has no CLS token, which the hypernetwork reads. Keep other methods (`methods: [...]`)."
            )
        if width % heads:
            raise ConfigError(f"meta_train.heads: {heads} heads do not divide the width {width} of '{name}'.")
    grid = config.models[name].transform.size // vit.patch_embed.patch_size[0]
    if {"hypernet", "ke", "mend"} & config.artifacts and config.meta_train.pseudo.patches[1] > grid:
        raise ConfigError(
            f"meta_train.pseudo.patches: {list(config.meta_train.pseudo.patches)} does not fit the {grid} x {grid} patches of "
            f"'{name}'."
        )
    if "anchors" in config.artifacts:
        cut_before_heads(Split(vit, ()), 1)
    if {"memory", "covariance", "null_space", "anchors"} & config.artifacts:  # one stage collects all of them
        LastBlock.of(Split(vit, find_sites(vit, "mlp", [len(vit.blocks) - 1])))


def _check_blocks(config: Config, name: str, depth: int) -> None:
    if wrong := [block for block in config.sites.blocks or [] if block >= depth]:
        raise ConfigError(
            f"sites.blocks: {wrong[0]} given, but the model '{name}' has the blocks 0 to {depth - 1}."
        )


def _check_sparsities(config: Config, name: str, vit: VisionTransformer) -> None:
    """Of the blocks that are given, or of all that the layer search may choose."""
    every: list[tuple[Part, list[int]]] = [
        (window.part, window.blocks) for window in windows(len(vit.blocks), config.search.window)
    ]
    if config.sites.blocks:
        every = [(config.sites.part, config.sites.blocks)]
    asked = list(_sparsities(config))
    for part, blocks in every:
        sizes = {kind: _size(vit, part, blocks, kind) for kind in {entry[2] for entry in asked}}
        for place, sparsity, kind in asked:
            try:
                kept_units(sparsity, sizes[kind])
            except ConfigError:
                raise ConfigError(
                    f"{place}: {sparsity} leaves none of the {sizes[kind]} {kind} that may be edited in the blocks "
                    f"{', '.join(map(str, blocks))} ({part}) of '{name}'. Lower it, or give other blocks (`sites`)."
                ) from None


def _size(vit: VisionTransformer, part: Part, blocks: list[int], kind: str) -> int:
    """How many there are of what a sparsity is a share of; neurons are those of the FFNs, whatever part is edited."""
    sites = find_sites(vit, "mlp" if kind == "neurons" else part, blocks)
    if kind == "weights":
        return sum(vit.get_parameter(site.name).numel() for site in sites)
    return sum(site.size(vit) for site in sites) // (2 if kind == "neurons" else 1)


def _sparsities(config: Config) -> Iterator[tuple[str, float, str]]:
    """Every sparsity of the run: its place in the configuration, its value, and what it is a share of."""
    for method, section in config.editors.items():
        for setting in section.tried():
            if isinstance(value := setting.get("sparsity"), int | float):
                yield f"editors.{method}.sparsity", value, editor_class(method).masks
    if "hypernet" in config.artifacts:
        yield "specificity.sparsity", config.specificity.sparsity, "units"
