"""The image: build, slim down, check."""
