"""Attacks on the sign-in and on the logs. The long forms: `./run attacks --help`."""
