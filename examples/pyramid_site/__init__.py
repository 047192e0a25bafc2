"""A small Pyramid site: log in with a name and a password, look around, pay; the second factor is a tween (`second_factor.py`).

`main` is what the ini file names; `make_app` is the same for programs.
"""

import warnings

# Pyramid's own import, of which setuptools tells whoever starts the site.
warnings.filterwarnings("ignore", "pkg_resources is deprecated")

from examples.pyramid_site.site import SITE_NAME, main, make_app  # noqa: E402

__all__ = ["SITE_NAME", "main", "make_app"]
