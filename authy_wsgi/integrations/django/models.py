"""A user's factors: one row a user."""

from __future__ import annotations

from django.db import models


class SecondFactorUser(models.Model):
    """What `ModelStore` keeps. Rows are written by the store alone: `version` says whether anybody else was faster."""

    id = models.CharField(primary_key=True, max_length=255)
    folded = models.CharField(unique=True, max_length=1024, editable=False)
    version = models.BigIntegerField(editable=False)
    document = models.TextField(editable=False)

    class Meta:
        db_table = "second_factor_user"
        verbose_name = "user's second factor"
        verbose_name_plural = "users' second factors"

    def __str__(self) -> str:
        return str(self.id)
