"""Who is there: one-time codes, tokens, Google, mail. Knows no HTTP and no interviews."""
