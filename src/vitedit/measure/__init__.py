"""What an edit did: success, generalization, locality, and the specificity of masks."""
