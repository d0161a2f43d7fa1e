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
        return counted(about)
    known = about.images[0].class_name if classes is None else class_name(about.labels[0], classes)
    return f"right class {about.labels[0]}" + (f" ({known})" if known else "")


def counted(about: About) -> str:
    """How many failures of how many classes an edit was made from."""
    count = len(about.labels)
    return f"{len(about.images)} failures of {count} {'class' if count == 1 else 'classes'}"


def of_samples(outcome: Outcome, classes: Classes) -> str:
    """Every sample before and after the edit; of many only those that are still wrong."""
    about, seen = outcome.patch.about, outcome.samples
    wrong = [image.wrong for image in about.images]
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


def of_lost(about: About) -> str:
    """The samples that later edits of a sequence lost."""
    rows = lost_rows(about)
    return table(rows) if rows else ""


def lost_rows(about: About) -> list[tuple[str, ...]]:
    """Samples that later edits of a sequence lost, below a head; nothing where there are none."""
    rows = [
        (one.name, _class(one, None), one.lost_by, one.after_name or f"{one.after}")
        for one in about.images
        if one.lost_by is not None
    ]
    return [("lost again", "right class", "first after the edit of", "in the end"), *rows] if rows else []


def record_rows(about: About) -> list[tuple[str, ...]]:
    """Every sample as a patch keeps it, below a head."""
    marked = any(one.wrong for one in about.images)
    rows = [("image", "right class", "before", "after", *([""] if marked else []))]
    for one in about.images:
        seen = (_class(one, None), seen_before(one), numbered(one.after, one.after_name))
        rows.append((one.name, *seen, *(["still wrong" if one.wrong else ""] if marked else [])))
    return rows


def seen_before(image: ImageRecord) -> str:
    """What the base model takes a sample for."""
    return numbered(image.before, image.before_name)


def numbered(index: int, name: str | None) -> str:
    """A class's number, and its name where it is known."""
    return f"{index}" + (f" ({name})" if name else "")


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
    return numbered(image.label, name)
