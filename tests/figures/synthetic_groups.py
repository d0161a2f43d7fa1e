"""Classes and groups of a synthetic run."""

NAMES = [
    f"{shape} {texture}"
    for shape in ("heart", "star", "ring", "cross", "moon")
    for texture in ("spotted", "striped")
]
SUBSETS = {"natural": 9, "oil_painting": 6, "stage_light": 5}


def groups_of(subsets: dict[str, int]) -> list[tuple[str, str, int, int]]:
    """(subset, group, label, predicted) of every group."""
    named = []
    for subset, count in subsets.items():
        for at in range(count):
            label, predicted = at % 10, (3 * at + 1) % 10
            named.append(
                (subset, f"{label}_{predicted}" if subset == "natural" else str(label), label, predicted)
            )
    return named
