"""How the pages of this folder become the site in build/docs. Read by Sphinx; `make docs` calls it."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import django.conf
from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import credentials

# What stands at the left of each page, in this order. A page that is not there is left out, so that pages can come and
# go one at a time; one that is in no group is an error of the build.
NAVIGATION = {
    "Start": ["tutorial-fastapi", "tutorial-flask", "register-apps", "browser-demo", "command-line"],
    "Guides": [
        "guide-graph",
        "clients",
        "guide-azure-sdk",
        "chains",
        "protecting",
        "guide-step-up",
        "guide-background",
        "scaling",
        "testing",
        "telemetry",
        "troubleshooting",
        "from-msal",
        "azure-identity",
        "from-fastapi-azure-auth",
    ],
    "Frameworks": [
        "frameworks",
        "frameworks/fastapi",
        "frameworks/starlette",
        "frameworks/flask",
        "frameworks/django",
        "frameworks/litestar",
        "frameworks/quart",
        "frameworks/pyramid",
        "frameworks/bottle",
        "frameworks/mcp",
    ],
    "Reference": ["context", "settings", "errors", "credentials", "reference/index"],
    "Security": ["security", "threat-model"],
    "Project": ["architecture", "changelog"],
}

# The modules of the reference. `credentials.kernel` is public for our own second package only, and may change any day.
PUBLIC = [
    "obo_middleware",
    "obo_middleware.asgi",
    "obo_middleware.wsgi",
    "obo_middleware.fastapi",
    "obo_middleware.flask",
    "obo_middleware.django",
    "obo_middleware.rest_framework",
    "obo_middleware.requests",
    "obo_middleware.redis",
    "obo_middleware.telemetry",
    "obo_middleware.errors",
    "obo_middleware.testing",
    "obo_middleware.command",
    "credentials",
    "credentials.aio",
]

# What a request has, `context`: users are given it, and never make or import it.
CONTEXTS = "obo_middleware._context"
ERRORS = "obo_middleware.errors"

DEFAULTS = {r"<factory>": "...", r"<module '(\w+)' from [^>]*>": r"\1", r"<built-in function (\w+)>": r"\1.\1"}

ROOT = Path(__file__).parents[1]

project = "obo-middleware"
author = "obo-middleware contributors"
version = release = credentials.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_heading_anchors = 4
nitpicky = True
# Names of other projects, whose inventories would have to be fetched, and names that are not for users.
nitpick_ignore_regex = [
    (r"py:.*", r"(azure|collections|cryptography|django|fastapi|flask|http|httpx|os|requests|rest_framework|ssl)\b.*"),
    (r"py:.*", r"(opentelemetry|starlette|types|typing|typing_extensions|uvicorn|redis)\b.*"),
    (r"py:.*", r"(credentials|obo_middleware)\.(kernel|_\w+|\w+\._\w+)(\..*)?"),
    (r"py:.*", r"ProviderError|State|StoreError|(obo_middleware\.(django|flask)\.)?[A-Z]"),
]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {
    "members": True,
    "imported-members": True,
    "inherited-members": "object,dict,tuple,BaseException,Exception,Generic,Protocol,BaseAuthentication,Flask,AuthBase",
}
add_module_names = False
copybutton_exclude = ".linenos, .gp"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "obo-middleware"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# The REST framework's module reads Django's settings, as an app has them.
django.conf.settings.configure()


def name_files_of_the_repository(app: Sphinx, document: str, text: list[str]) -> None:
    """Turn links to files beside this folder, which the site does not have, into their names."""
    folder = Path(app.srcdir, document).parent

    def named(match: re.Match[str]) -> str:
        file = (folder / match[2]).resolve()
        if file.is_relative_to(app.srcdir) or not file.is_relative_to(ROOT):
            return match[0]
        return f"{match[1]} (`{file.relative_to(ROOT).as_posix()}` in the repository)"

    text[0] = re.sub(r"\[([^\]]*)\]\((\.\./[^)#\s]+)[^)]*\)", named, text[0])


def add_navigation(app: Sphinx, document: str, text: list[str]) -> None:
    """Put the navigation below the texts of these pages, which so are plain pages everywhere else."""
    below = {"index": NAVIGATION, "reference/index": {"Modules": ["context", *PUBLIC]}}
    for caption, pages in below.get(document, {}).items():
        folder = Path(app.srcdir, document).parent
        there = [page for page in pages if (folder / f"{page}.md").exists()]
        text[0] += "\n".join(["\n```{toctree}", ":hidden:", f":caption: {caption}", "", *there, "```\n"])


@cache
def public_names() -> dict[str, str]:
    """Return where users import from what has a name, by the last part of that name."""
    names: dict[str, str] = {"AsyncContext": CONTEXTS, "BlockingContext": CONTEXTS}
    for module in reversed(PUBLIC):
        names |= dict.fromkeys(importlib.import_module(module).__all__, module)
    # These are in both packages, and described in one place.
    return names | dict.fromkeys(("ClientAssertion", "ClientCertificate", "ClientSecret"), "credentials")


def resolve_by_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element) -> Element | None:
    """Lead from the module where something is written, or from its bare name, to where users import it from."""
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    for name in (target.rpartition(".")[2], target.partition(".")[0]):
        module = public_names().get(name)
        if module and target.partition(".")[0] in {"credentials", "obo_middleware", name}:
            full = module + "." + name + target.partition(name)[2]
            found: Element | None = env.domains.python_domain.resolve_xref(
                env, node["refdoc"], app.builder, "obj", full, node, text
            )
            if found is not None:
                found["reftitle"] = full
            return found
    return None


def tidy_signature(_app: Sphinx, *what: Any) -> tuple[str, str | None] | None:
    """Write defaults as a reader would: the signature of a dataclass has them as objects."""
    signature, returned = what[-2:]
    if signature is None:
        return None
    for pattern, text in DEFAULTS.items():
        signature = re.sub(pattern, text, signature)
    return signature, returned


class Sentences:
    """Keep napoleon from taking what stands before a colon in the text of a property for its type."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    def keep(self, _app: Sphinx, _what: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
        """Remember a docstring, before napoleon reads it."""
        self.kept = list(lines)

    def restore(self, _app: Sphinx, what: str, _name: str, _thing: object, _options: object, lines: list[str]) -> None:
        """Put a property's docstring back; name the one error that is exported twice by its home."""
        if what in {"attribute", "data", "property"}:
            lines[:] = self.kept
        lines[:] = [
            line.replace(":raises ConfigurationError:", f":raises ~{ERRORS}.ConfigurationError:") for line in lines
        ]


def skip_what_says_nothing(_app: Sphinx, *what: Any) -> bool | None:
    """Leave out what other modules of ours make things with, and what Python says of the fields of a tuple."""
    name, thing = what[1:3]
    made_up = str(getattr(thing, "__doc__", "")).startswith("Alias for field number")
    return True if made_up or name.rpartition(".")[2] == "of" else None


def setup(app: Sphinx) -> None:
    """Take part in the build."""
    app.connect("source-read", name_files_of_the_repository)
    app.connect("source-read", add_navigation)
    app.connect("missing-reference", resolve_by_name)
    app.connect("autodoc-skip-member", skip_what_says_nothing)
    app.connect("autodoc-process-signature", tidy_signature)
    sentences = Sentences()
    app.connect("autodoc-process-docstring", sentences.keep, priority=100)
    app.connect("autodoc-process-docstring", sentences.restore, priority=900)
