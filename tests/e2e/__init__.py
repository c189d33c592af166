"""Against the whole stack, as processes. A package: its stack goes when the last of its tests has run."""
