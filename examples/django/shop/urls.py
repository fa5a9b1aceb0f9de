"""The pages and their addresses."""

from __future__ import annotations

from django.contrib.auth.views import LoginView
from django.urls import path

from invoices import views

urlpatterns = [
    path("", views.index, name="list"),
    path("login", LoginView.as_view(template_name="invoices/login.html"), name="login"),
    path("invoices/<int:number>", views.edit, name="edit"),
    path("invoices/<int:number>/claim", views.claim, name="claim"),
]
