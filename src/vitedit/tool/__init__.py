"""The tool: edit one's own ViT, keep the edit as a patch, apply and revert it (docs/edit-your-model.md).

arguments -> commands, library -> editing, choosing, measuring -> models, methods, pictures, labels;
text and reporting say what came out.
"""
