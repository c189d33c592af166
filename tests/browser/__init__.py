"""In a real Chromium. A package: its stack and its browser go when the last of its tests has run."""
