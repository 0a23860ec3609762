"""Pure functions on text: tokenising, segmentation, markup, alignment, glossary, quality checks."""
