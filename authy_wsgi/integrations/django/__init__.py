"""The second factor of a Django project.

    INSTALLED_APPS += ["authy_wsgi.integrations.django"]
    MIDDLEWARE += ["authy_wsgi.integrations.django.middleware.SecondFactorMiddleware"]      # after the session's and the authentication's
    SECOND_FACTOR = {"AUTHY": {"API_KEY": ...}, "ENROLMENT": "open"}

`python manage.py migrate` makes the table of the users' factors. See `docs/django.md`.
"""
