"""The commands, by what they do. Heavy imports are inside the functions, so that `--help` is instant."""
