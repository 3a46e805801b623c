"""Words of a query that a model never met in the captions of its training."""

from slapkit.data.dataset import WORD

# Of these a query's meaning does not depend.
_PLAIN = frozenset(
    "about above all and any are but can for from has have his her how into its just like made make more most much "
    "music not off one out over piece play played playing plays recording she some something song sound sounds than "
    "that the their them then there this through too track tune two under very was what when where which who will "
    "with without you".split()
)  # fmt: skip


def unknown_words(query: str, vocabulary: frozenset[str]) -> list[str]:
    """Return the words of a query that no caption says, in either number, in their order; none without a vocabulary."""
    if not vocabulary:
        return []
    asked = dict.fromkeys(WORD.findall(query.lower()))
    return [word for word in asked if word not in _PLAIN and vocabulary.isdisjoint(_numbers(word))]


def _numbers(word: str) -> set[str]:
    """Return a word as it may stand in singular and plural."""
    return {word, f"{word}s", f"{word}es", word.removesuffix("s"), word.removesuffix("es")}
