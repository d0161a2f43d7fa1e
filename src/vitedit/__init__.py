"""vitedit: edit a Vision Transformer from one image.

Letters, everywhere the same: B images, E edits, n samples of one edit, T tokens (CLS first), D token width,
H hidden units of a site, C classes, S side of the input in pixels.

Words: a *site* is one weight matrix and the axis that runs over its hidden units; a *mask* has one entry a hidden unit,
1 = may change, 0 = frozen; *sparsity* is the share of zeros in all masks together; an *edit* is a set of replaced weight
matrices of an untouched base model. Success, generalization and locality are rates in [0, 1] (docs/glossary.md).
"""

__version__ = "0.1.0"
