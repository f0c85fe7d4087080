"""A page on this machine that restores recordings: what is shown of one, and the page around it."""
