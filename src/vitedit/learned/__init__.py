"""What is learned or collected before editing, beside the hypernetwork: editors that are networks, statistics of activations."""
