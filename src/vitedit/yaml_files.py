"""YAML files that people write: plain values, no key given twice, nothing that grows without end."""

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 2**20
"""Of a file; the longest configuration of this project has 2 % of it."""
MOST_PARTS = 100_000
"""Values, and texts by every 64 letters, once all aliases are written out. Ten short lines can stand for billions."""


def read_yaml(path: Path) -> Any:
    """The value of a file.

    Raises:
        OSError: Missing, or unreadable.
        yaml.YAMLError: No YAML, a tag that names code, a key that is given twice, or too much.
    """
    with Path(path).open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise yaml.YAMLError(f"more than {MOST_BYTES:,} bytes, which no file of this kind has")
    try:
        return yaml.load(content.decode("utf-8"), _Loader)
    except yaml.YAMLError:
        raise
    except RecursionError:
        raise yaml.YAMLError("its values lie too deep in each other") from None
    except Exception as error:  # dates and numbers that there are not, text in another encoding
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML would drop the first without a word, and what would grow."""

    def get_single_node(self) -> yaml.Node | None:
        """The document, before values are made of it."""
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping of unique keys; those that `<<` brings in may be given again."""
        keys = Counter(
            key.value
            for key, _ in node.value
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge"
        )
        if twice := [key for key, times in keys.items() if times > 1]:
            raise yaml.YAMLError(f"the key '{twice[0]}' is given twice{node.start_mark}; keep one section")
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A number of 64 bits; Python cannot even print one of thousands of digits."""
        number = super().construct_yaml_int(node)
        if abs(number) >= 2**63:
            raise yaml.YAMLError(f"a number is too large{node.start_mark}")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Parts of a node; `known` has those that were counted, and None for those that contain this one."""
    if id(node) in known:
        counted = known[id(node)]
        if counted is None:
            raise yaml.YAMLError(f"a value contains itself{node.start_mark}")
        return counted
    known[id(node)] = None
    if isinstance(node, yaml.ScalarNode):
        parts = 1 + len(node.value) // 64
    else:
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(one,) for one in node.value]
        parts = 1 + sum(_count(inner, known) for pair in pairs for inner in pair)
    if parts > MOST_PARTS:
        raise yaml.YAMLError(f"more than {MOST_PARTS:,} values, aliases written out{node.start_mark}")
    known[id(node)] = parts
    return parts
