"""What a run's system consists of, a row a backbone: what the diagram of the paper's Fig. 1 is drawn from."""

from collections.abc import Mapping
from typing import Any

from vitedit.config import Config

HYPERNET = "hypernet"
"""Artefact of the methods that a hypernetwork says where to edit."""


def system(config: Config, backbone: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of the backbone, what of it is edited, and the hypernetwork that says where.

    Args:
        config: The run.
        backbone: Its model.
        choice: What the layer search left: blocks, sites, and the sizes of the model.

    Returns:
        model (its name in timm), size (of its input, pixels), blocks, width, classes, weights (without the head), part, edited
        (1-based numbers of the edited blocks), sites (names), units (hidden units of all sites), share (of the weights that the
        sites hold), hypernet_blocks, hypernet_heads, iterations, batch_size, inner_steps, search_steps,
        sparsities and step_sizes ("hypernet=0.002 ...").
    """
    model, meta = config.models[backbone], config.meta_train
    facts = choice["model"]
    return {
        "model": model.name,
        "size": model.transform.size,
        **{name: facts[name] for name in ("blocks", "width", "classes", "weights")},
        "part": choice["part"],
        "edited": " ".join(str(block + 1) for block in sorted(choice["blocks"])),
        "sites": " ".join(site["name"] for site in choice["sites"]),
        "units": sum(facts["units"]),
        "share": facts["site_weights"] / facts["weights"],
        "hypernet_blocks": meta.blocks,
        "hypernet_heads": meta.heads,
        **{name: getattr(meta, name) for name in ("iterations", "batch_size", "inner_steps", "search_steps")},
        "sparsities": " ".join(f"{value:g}" for value in _sparsities(config)),
        "step_sizes": " ".join(f"{method}={size:g}" for method, size in _step_sizes(config).items()),
    }


def step_sizes(row: Mapping[Any, Any]) -> dict[str, str]:
    """Step size of each method that has one, from a row of the table."""
    return dict(pair.split("=") for pair in row["step_sizes"].split())


def _step_sizes(config: Config) -> dict[str, float]:
    rates = {name: editor.parameters.get("learning_rate") for name, editor in config.editors.items()}
    return {name: rate for name, rate in rates.items() if isinstance(rate, int | float)}


def _sparsities(config: Config) -> list[float]:
    """Of the masks that methods with a hypernetwork edit under; none where no method needs one."""
    settings = [
        setting
        for editor in config.editors.values()
        if HYPERNET in editor.artifacts
        for setting in editor.settings()
    ]
    return sorted({float(setting["sparsity"]) for setting in settings if "sparsity" in setting})
