"""What is said of the samples of an edit: what they were taken for, and which an edit of a sequence lost again."""

from collections.abc import Sequence

from vitedit.model.about import About, ImageRecord
from vitedit.tool.earlier import Remembered
from vitedit.tool.editing import Outcome
from vitedit.tool.labels import class_name
from vitedit.tool.layout import FEW, few, percent, printable, table

Classes = Sequence[str] | None


def right_class(about: About, classes: Classes = None) -> str:
    """The right class of all samples, or how many of how many classes there are."""
    if len(about.labels) > 1:
        return f"{len(about.images)} failures of {len(about.labels)} classes"
    known = about.images[0].class_name if classes is None else class_name(about.labels[0], classes)
    return f"right class {about.labels[0]}" + (f" ({known})" if known else "")


def of_samples(outcome: Outcome, classes: Classes) -> str:
    """Every sample before and after the edit; of many only those that are still wrong."""
    about, seen = outcome.patch.about, outcome.samples
    wrong = [image.after != image.label for image in about.images]
    places = [at for at in range(len(seen)) if wrong[at] or len(seen) <= FEW]
    several, head = len(about.labels) > 1, "image" if len(seen) <= FEW else "still wrong"
    marked = len(seen) <= FEW and any(wrong)
    rows = [(head, *(["right class"] if several else []), "before", "after", *([""] if marked else []))]
    for at in places:
        image = about.images[at]
        name = [class_name(image.label, classes)] if several else []
        before = f"{class_name(image.before, classes)} ({percent(seen.sure_before[at])})"
        after = f"{class_name(image.after, classes)} ({percent(seen.sure_after[0, at])})"
        mark = ["still wrong" if wrong[at] else ""] if marked else []
        rows.append((image.name, *name, before, after, *mark))
    return table(rows) if places else ""


def of_lost(outcome: Outcome, classes: Classes) -> str:
    """The samples that later edits of a sequence lost."""
    images = outcome.patch.about.images
    if not outcome.lost:
        return ""
    head = ("lost again", "right class", "first after the edit of", "in the end")
    rows = [
        (
            images[at].name,
            _class(images[at], classes),
            images[later].name,
            class_name(images[at].after, classes),
        )
        for at, later in outcome.lost
    ]
    return table([head, *rows])


def of_records(about: About) -> str:
    """Every sample as a patch keeps it."""
    head = ("image", "right class", "before", "after")
    rows = [(one.name, _class(one, None), f"{one.before}", f"{one.after}") for one in about.images]
    return table([head, *rows])


def of_remembered(remembered: Sequence[Remembered], classes: Classes) -> str:
    """Whether samples of earlier patches are still right, a line a patch."""
    return "\n".join(printable(f"{one.patch}: {_remembered(one, classes)}") for one in remembered)


def _remembered(one: Remembered, classes: Classes) -> str:
    right = [image for image in one.seen if image.before == image.label]
    still = sum(image.after == image.label for image in right)
    said = [f"{still} of {len(right)} samples that were right are still right"] if right else []
    lost = [
        f"{image.name} ({_class(image, classes)}), now taken for {class_name(image.after, classes)}"
        for image in right
        if image.after != image.label
    ]
    said += [f"lost: {few(lost)}"] if lost else []
    which = "it is" if len(one.absent) == 1 else "they are"
    absent = f"not found: {few(one.absent)}, so whether {which} still right was not measured"
    said += [absent] if one.absent else []
    return "; ".join(said or ["none of its samples was right before this edit"]) + "."


def _class(image: ImageRecord, classes: Classes) -> str:
    name = image.class_name if classes is None else class_name(image.label, classes)
    return f"{image.label}" + (f" ({name})" if name else "")
