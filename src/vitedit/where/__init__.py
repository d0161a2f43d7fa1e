"""Where to edit: masks, the hypernetwork that predicts them, its meta-training, and the search for layers."""
