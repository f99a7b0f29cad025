"""The nearest of some example sentences: TF-IDF over words and character 3- and 4-grams.

Recognition errors and paraphrases share letters with an example even where no word is equal.
Plain dictionaries: a dialogue has some dozens of examples, and a sentence a hundred features.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agentd_scripted.words import words

WORD_WEIGHT = 2.0  # a whole word in common says more than its letters


@dataclass(frozen=True, slots=True)
class Likeness:
    """`label` of the nearest example, how like it is (0 to 1), and the likeness of the best other label."""

    label: str
    score: float
    runner_up: float


class Router:
    """Sentences by label; `nearest` answers whose a new sentence most likely is."""

    def __init__(self, examples: Iterable[tuple[str, str]]) -> None:
        pairs = [(label, _features(sentence)) for label, sentence in examples]
        counts = Counter(feature for _, features in pairs for feature in features)
        self._rarity = {feature: 1.0 + math.log(len(pairs) / count) for feature, count in counts.items()}
        self._unseen = 1.0 + math.log(len(pairs) + 1)
        self._examples = [(label, self._weighted(features)) for label, features in pairs]

    def nearest(self, sentence: str, labels: Collection[str]) -> Likeness | None:
        """The nearest among these labels; None when they have no examples, or nothing in common with any."""
        query = self._weighted(_features(sentence))
        best: dict[str, float] = {}
        for label, example in self._examples:
            if label not in labels:
                continue
            score = sum(weight * example.get(feature, 0.0) for feature, weight in query.items())
            best[label] = max(best.get(label, 0.0), score)
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        if not ranked or ranked[0][1] <= 0:
            return None
        return Likeness(ranked[0][0], ranked[0][1], ranked[1][1] if len(ranked) > 1 else 0.0)

    def _weighted(self, features: Mapping[str, float]) -> dict[str, float]:
        weights = {feature: count * self._rarity.get(feature, self._unseen) for feature, count in features.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return {feature: weight / length for feature, weight in weights.items()}


def _features(sentence: str) -> Counter[str]:
    tokens = [word.text for word in words(sentence)]
    features: Counter[str] = Counter()
    for token in tokens:
        features[f"w {token}"] += WORD_WEIGHT  # type: ignore[assignment]  # a weighted count
    letters = f" {' '.join(tokens)} "
    for size in (3, 4):
        for start in range(len(letters) - size + 1):
            features[letters[start : start + size]] += 1
    return features
