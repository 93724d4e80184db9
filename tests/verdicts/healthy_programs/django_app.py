"""A whole Django project in one file: python django_app.py runserver PORT."""

import os
import sys

from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from web_app import work

settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", DATABASES={})  # noqa: S106


def hello(request):
    return HttpResponse("ok")


def do_work(request):
    return HttpResponse(str(work()))


urlpatterns = [path("", hello), path("work", do_work)]

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", __name__)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
