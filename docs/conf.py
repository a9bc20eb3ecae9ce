"""The documentation site: `sphinx-build -W -b html docs build/docs`."""

from importlib.metadata import version as version_of

project = "camq"
author = "the camq authors"
release = version_of("camq")

extensions = ["myst_parser"]
myst_heading_anchors = 3
# It would turn the two dashes of an option into one long one.
smartquotes = False

html_theme = "furo"
html_title = "camq"
html_static_path = ["_static"]
html_css_files = ["camq.css"]
html_copy_source = False
html_show_sphinx = False
