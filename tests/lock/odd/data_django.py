"""Migrations, templates, translations and static files of Django and its own applications."""

import os
import pathlib
import sys

sys.path.insert(0, os.getcwd())
pathlib.Path("shop").mkdir()
pathlib.Path("shop/__init__.py").write_text("")
pathlib.Path("shop/models.py").write_text(
    "from django.db import models\nclass Thing(models.Model):\n    name = models.CharField(max_length=9)\n"
)
import django  # noqa: E402
from django.conf import settings  # noqa: E402

applications = ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
settings.configure(
    SECRET_KEY="x",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}},
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in applications), "shop"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    STATIC_URL="static/",
    STATIC_ROOT="collected",
    LANGUAGE_CODE="de",
)
django.setup()
from django.core.management import call_command  # noqa: E402
from django.template.loader import get_template  # noqa: E402
from django.utils.translation import gettext  # noqa: E402

call_command("makemigrations", "shop", verbosity=1)
call_command("migrate", verbosity=1)
call_command("showmigrations")
call_command("collectstatic", interactive=False, verbosity=0)
from shop.models import Thing  # noqa: E402

Thing.objects.create(name="one")
print(Thing.objects.count(), gettext("Yes"), get_template("admin/base.html").origin.name)
print(sum(path.is_file() for path in pathlib.Path("collected").rglob("*")))
