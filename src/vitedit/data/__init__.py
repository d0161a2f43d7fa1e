"""From files to tensors, and from predictions to the lists of images that a run works on."""
