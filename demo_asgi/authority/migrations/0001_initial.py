"""The tables of the authorization server, as Django wrote them down."""

import authlib.oauth2.rfc6749.models
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="OAuth2Client",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("client_id", models.CharField(max_length=48, unique=True)),
                ("client_secret", models.CharField(max_length=120)),
                ("name", models.CharField(max_length=120)),
                (
                    "token_format",
                    models.CharField(
                        blank=True,
                        choices=[("", "no tokens at all"), ("jwt", "JWTs (RFC 9068)"), ("opaque", "opaque tokens")],
                        max_length=6,
                    ),
                ),
                ("grant_types", models.TextField(blank=True)),
                ("scope", models.TextField(blank=True)),
                ("introspects", models.BooleanField(default=False)),
            ],
            bases=(models.Model, authlib.oauth2.rfc6749.models.ClientMixin),
        ),
        migrations.CreateModel(
            name="ResourceOwner",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("username", models.CharField(max_length=150, unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="SigningKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("jwk", models.JSONField()),
            ],
            options={
                "ordering": ("-pk",),
            },
        ),
        migrations.CreateModel(
            name="OAuth2Token",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("access_token", models.TextField(unique=True)),
                ("token_type", models.CharField(max_length=20)),
                ("scope", models.TextField(blank=True)),
                ("issued_at", models.PositiveBigIntegerField()),
                ("expires_in", models.PositiveIntegerField()),
                ("revoked", models.BooleanField(default=False)),
                (
                    "client",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="authority.oauth2client",
                        to_field="client_id",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tokens",
                        to="authority.resourceowner",
                    ),
                ),
            ],
            bases=(models.Model, authlib.oauth2.rfc6749.models.TokenMixin),
        ),
    ]
