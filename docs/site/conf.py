"""Sphinx's configuration; ``make docs`` builds with it what stage.py laid out."""

from importlib.metadata import version as installed

project = "splitbench"
copyright = "splitbench contributors, Apache-2.0"  # noqa: A001 - Sphinx's name
release = version = installed("splitbench")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_output_stderr = "remove"  # progress

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_ivar = True

nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!splitbench\.).*"),  # names of other libraries: there may be no network
    ("py:class", r".*\.T"),  # type variables have no page
]

smartquotes = False  # options begin with two hyphens

html_theme = "furo"
html_title = f"splitbench {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
