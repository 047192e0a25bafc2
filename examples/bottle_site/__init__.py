"""A small Bottle site with a login of its own, and a second factor around it.

People register with user name, password, e-mail and phone; the second factor goes to the phone that the site then holds (`enrolment="known"`).
The second factor is a plugin, installed by `make_site` in `site.py`; but for the route that changes a password, everything else would be the same without.
"""

from examples.bottle_site.site import SITE_NAME, make_site

__all__ = ["SITE_NAME", "make_site"]
