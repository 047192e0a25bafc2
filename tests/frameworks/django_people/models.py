"""A user model of a site's own, whose key is the name."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Person(AbstractBaseUser):
    name = models.CharField(max_length=100, primary_key=True)
    email = models.EmailField(blank=True)

    objects = BaseUserManager()
    USERNAME_FIELD = "name"
    EMAIL_FIELD = "email"

    class Meta:
        app_label = "django_people"
