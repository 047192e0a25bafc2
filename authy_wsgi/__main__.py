"""`python -m authy_wsgi`: the same as the console script `authy-wsgi`."""

from authy_wsgi.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
