"""The users' factors."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """One table."""

    initial = True
    dependencies: ClassVar[list[Any]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="SecondFactorUser",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("folded", models.CharField(editable=False, max_length=1024, unique=True)),
                ("version", models.BigIntegerField(editable=False)),
                ("document", models.TextField(editable=False)),
            ],
            options={"db_table": "second_factor_user", "verbose_name": "user's second factor", "verbose_name_plural": "users' second factors"},
        ),
    ]
