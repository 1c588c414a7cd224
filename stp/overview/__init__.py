"""The overview: one page that says which input and variant is best, how sure that is, and which clips are wrong."""
