"""Charts as SVG images, and HTML reports that hold them: one style, light or dark as the reader's system is."""
