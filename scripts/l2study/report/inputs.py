"""What the page calls the inputs of a network, images or rows; and the groups that they come in."""

import re
from collections.abc import Mapping

WORDS = {
    "an image": "a row",
    "image": "row",
    "images": "rows",
    "pixel": "number",
    "pixels": "numbers",
}
"""What is said in place of a word where inputs are no images."""

FEW_GROUPS = 10
"""With fewer groups than this, intervals for other groups are not to be relied on."""

_TEXT = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<[a-z/!][^<>]*>"  # HTML
    r"|\]\([^)]*\)"  # the address of a link or a figure in Markdown
    r"|seeds and images"  # a value in tables, which the text quotes
    r"|\b(an image|images?|pixels?)\b(?! of MNIST)",
    re.IGNORECASE | re.DOTALL,
)


def reworded(text: str, data: Mapping) -> str:
    """Return a page or a summary in which inputs that are no images are not called so.

    Args:
        text: HTML or Markdown, whose tags, scripts and addresses stay as they are.
        data: the manifest of prepared data. Inputs are images if they have two dimensions or more.
    """
    if len(data.get("shape", ())) != 1:
        return text

    def word(found: re.Match) -> str:
        if found[1] is None:
            return found[0]
        own = WORDS[found[1].lower()]
        return own.capitalize() if found[1][0].isupper() else own

    return _TEXT.sub(word, text)


def groups_of(data: Mapping) -> dict:
    """Return what groups the validation and test images of a manifest come in.

    `counts` has the parts that have groups, with how many; it is empty if all images are taken as
    independent. `independent` is a part without groups beside one that has them, or None. `few` is
    `FEW_GROUPS` where a part has fewer groups, else None.
    """
    words = {"val": "validation", "test": "test"}
    counts = data.get("groups", {}).get("counts", {})
    few = any(count < FEW_GROUPS for count in counts.values())
    return {
        "counts": [(words[part], counts[part]) for part in words if part in counts],
        "independent": next((word for part, word in words.items() if part not in counts), None),
        "few": FEW_GROUPS if few else None,
    }
