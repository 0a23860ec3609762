"""The page at `/` in a real Chromium: audits and pictures."""
