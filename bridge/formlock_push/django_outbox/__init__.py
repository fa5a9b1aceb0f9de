"""The outbox as an app of Django: `INSTALLED_APPS = ["formlock_push.django_outbox", ...]`, and `manage.py migrate`."""
