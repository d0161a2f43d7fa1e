"""The tool: edit one's own ViT, keep the edit as a patch, apply and revert it (docs/edit-your-model.md).

arguments, flags -> commands, library -> asked, choosing, hypernets -> editing, earlier -> ways, failures, measuring ->
models, methods, pictures, tables, labels; text, samples_text, layout, comparing and reporting say what came out.
"""
