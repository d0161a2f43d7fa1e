"""The embedded world: a rendered benchmark (render.py) and the three small ViTs trained on it (pretrain.py)."""
