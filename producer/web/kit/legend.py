"""The colours of a job's heat, from low to high."""

STOPS = 24


def colours(name: str) -> list[str]:
    """So many colours of the colormap, low first; none where `cmap` is not installed (it comes with a worker)."""
    try:
        from cmap import Colormap
    except ImportError:
        return []
    colormap = Colormap(name)
    # The alpha channel is left out: a legend shows what the heat looks like, not what lies under it.
    return [colormap(step / (STOPS - 1)).hex[:7] for step in range(STOPS)]
