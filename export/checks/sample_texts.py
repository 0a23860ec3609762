"""Short texts for the parity check of an import that is given none: plain sentences, numbers, signs, odd spaces.

The answers need not make sense, only agree; so every model gets the same texts, whatever language it reads.
"""

from collections.abc import Sequence

SAMPLE_TEXTS = (
    "Good morning.", "Where is the station?", "I have been waiting for you for two hours.", "Yes.",
    "It is raining again!",
    "The committee approved the budget for 2024, although several members had asked for more time.",
    "Open the file, change the second line, and save it under another name.", "“Who said that?” she asked.",
    "He paid 3,500.50 euros for a 12-year-old car.", "See https://example.com/a?b=1 or write to info@example.com.",
    "Guten Morgen, wie geht es Ihnen?", "Das Mädchen, das gestern hier war, kommt aus Österreich.",
    "Straße, Fuß, größer.",
    "Bonjour, je voudrais réserver une chambre pour deux nuits.", "L’été dernier, nous sommes allés à la mer.",
    "¿Dónde está la biblioteca?", "Mañana por la mañana iremos al mercado.", "Buongiorno, vorrei un caffè.",
    "Olá, tudo bem?", "Goedemorgen, het regent vandaag.", "God morgon! Hur mår du?", "Hyvää huomenta.",
    "Dzień dobry, jak się masz?",
    "Dobrý den.", "Jó reggelt kívánok!", "Bună dimineața.", "Доброе утро, как дела?", "Добрий день.", "Καλημέρα σας.",
    "Günaydın, nasılsınız?", "صباح الخير", "בוקר טוב", "सुप्रभात", "おはようございます。", "早上好。", "안녕하세요.",
    "Xin chào.",
    "👍🏽 Great", "a  b   c", " leading and trailing ", "x = 5 % 3", "...", "1", "A" * 60,
)  # fmt: skip

WHOLE = 4  # directions that all texts are translated in


def texts_of(texts: Sequence[str], index: int, directions: int) -> Sequence[str]:
    """Return the texts that one of so many directions is checked with: of many directions, each gets a part."""
    step = min(8, -(-directions // WHOLE))
    return texts[index % step :: step] or texts
