"""A small Django project with Django's own users, sessions, login and admin, and a second factor: three settings in `settings.py`.

    DEMO_FOLDER=.demo/django AUTHY_API_KEY=... AUTHY_BASE_URL=http://127.0.0.1:8001 DJANGO_SETTINGS_MODULE=examples.django_site.settings django-admin migrate

`make demo SITE=django` does that, and starts everything.
"""

SITE_NAME = "Blotter"
ACCOUNTS = {"alice": "pen and paper", "bob": "ink well"}
