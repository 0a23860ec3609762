"""One translation request: text to segments, segments to the engine, results to text. Knows neither HTTP nor numpy."""
