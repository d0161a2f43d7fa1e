"""Configuration of the chain that the tests of the stages run."""

from tiny import TINY

CONFIG = {
    "run": "tiny_world",
    "backbones": ["tiny"],
    "models": {
        "tiny": {
            "name": "vit_tiny_patch16_224",
            "architecture": TINY.architecture,
            "checkpoint": "tiny.safetensors",
            "transform": {"size": 24},
        }
    },
    "images": {"world": {"path": "world"}},
    "benchmark": {
        "rule": "errors",
        "images": "world",
        "same_prediction": False,
        "groups": 3,
        "max_images": 6,
        "max_edits": 3,
        "held_out_groups": 2,
    },
    "locality": {"sources": ["world"], "gap": 0.6645, "min_images": 1},
    "descent": {"max_steps": 8, "stop_loss": 0.05},
    "search": {"learning_rate": 3e-3, "window": 2, "max_edits": 2, "bootstrap": 50},
    "meta_train": {
        "pseudo": {"images": "world", "patches": [1, 2]},
        "iterations": 4,
        "batch_size": 2,
        "inner_steps": 1,
        "search_steps": 2,
        "blocks": 1,
        "heads": 6,
        "replay": {"steps": 30, "batch_size": 4},
        "checkpoint_every": 1,
    },
    "editors": {
        "hypernet": {"artifacts": ["hypernet"], "sparsity": [0.5, 0.9], "learning_rate": 3e-3},
        "ft": {
            "learning_rate": 3e-3,
            "tune": {"learning_rate": [1e-3, 3e-3]},
            "original": {"learning_rate": 1e-4},
        },
        "random_mask": {
            "sparsity": [0.5],
            "learning_rate": 3e-3,
            "tune": {"learning_rate": [3e-3], "sparsity": [0.3, 0.6]},
        },
    },
    "tuning": {"trials": 2},
    "methods_per_job": 3,
    "specificity": {"sparsity": 0.9},
}
