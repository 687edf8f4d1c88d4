"""What uvicorn serves: ``uvicorn demo_asgi.authority.asgi:application``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_asgi.authority.settings")

application = get_asgi_application()
