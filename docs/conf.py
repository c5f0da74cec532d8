"""How Sphinx builds these pages: Furo and MyST, without a byte from the network. Warnings are errors.

sphinx-build --fail-on-warning --keep-going --nitpicky docs build/docs
"""

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import mockexport

project = "mockexport"
author = "the authors of mockexport"
project_copyright = author
version = release = mockexport.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"mockexport {release}"
html_show_sourcelink = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path: list[str] = []

# Links to the examples, and between pages, are those that work on a code host too.
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]
# A prompt is not part of what is copied, and neither is what a command prints.
copybutton_prompt_text = "$ "
copybutton_copy_empty_lines = False

# Docstrings mark code with single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# The keys of a typed dictionary read like arguments.
napoleon_custom_sections = [("Keys", "params_style"), ("Raises (at the start)", "Raises")]

nitpick_ignore_regex = [
    (r"py:.*", r"(?!mockexport\b).*"),  # nothing is fetched, so names of other packages lead nowhere
    (r"py:class", r"mockexport\..*\.[A-Z]"),  # type variables
    (r"py:class", r"mockexport\..*\.(Resuming|File)Stream"),  # the ByteStreams that sources return: no public names
    (
        r"py:class",
        r"mockexport\.(engine\.choosing\.Engine|formats\.format\.Format|pipeline\.(sharing\.Crew|variety\.Limited|download\.DownloadRun)|model\.MaxBad)",
    ),  # parts of the pipeline: no public names
]


def _public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Lead a signature's `mockexport.report.report.Report`, where a class lives, to `mockexport.Report`, its name."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in mockexport.__all__:
        return None
    found: nodes.reference | None = env.domains["py"].resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"mockexport.{name}", node, contnode
    )
    return found


def _examples(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Mark what stands indented after a paragraph of a docstring as what it is: code, or a drawing."""
    for number in range(len(lines) - 1, 1, -1):
        before, gap, here = lines[number - 2 : number + 1]
        if here.startswith("    ") and not gap and before and not before.startswith(" ") and not before.endswith("::"):
            lines[number:number] = ["::", ""]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("missing-reference", _public_name)
    app.connect("autodoc-process-docstring", _examples, priority=400)  # before napoleon, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
