"""The ViT, its editable sites, edits as values, and the one descent that makes them."""
