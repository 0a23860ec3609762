"""File formats: each module reads one into the texts to translate, and writes it with their translations."""
