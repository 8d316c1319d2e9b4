"""How the site is built: ``make docs``."""

import importlib.metadata

project = "gazenas"
copyright = "gazenas contributors, MIT license"
release = version = importlib.metadata.version("gazenas")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"gazenas {release}"
html_theme_options = {"sidebar_hide_name": True, "light_css_variables": {"font-stack": "system-ui, sans-serif"}}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False

myst_heading_anchors = 3  # links lead to headings as they do where Markdown is read as it is
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"
nitpicky = True  # a name of the package's surface that a docstring gets wrong is an error
nitpick_ignore_regex = [("py:(class|data)", ".*"), ("py:(func|mod)", r"gazenas\..+\..+")]
