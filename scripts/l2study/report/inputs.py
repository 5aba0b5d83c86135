"""What the page calls the inputs of a network: images, or rows where they are lists of numbers."""

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
