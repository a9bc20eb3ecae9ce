"""The documentation site: `sphinx-build -W -b html docs build/docs`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "camq"
author = "the camq authors"
release = version_of("camq")

extensions = ["myst_parser", "sphinx.ext.autodoc", "from_code"]
myst_heading_anchors = 3
exclude_patterns = ["_ext"]
# A word in single backquotes of a docstring is code, as it is in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

# It would turn the two dashes of an option into one long one.
smartquotes = False

html_theme = "furo"
html_title = "camq"
html_static_path = ["_static"]
html_css_files = ["camq.css"]
html_copy_source = False
html_show_sphinx = False
