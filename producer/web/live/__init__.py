"""The live page: jobs, pictures and workers in a browser, for everybody who has the link."""

#: This package, whose templates, styles and scripts the page kit renders.
LIVE = __name__
