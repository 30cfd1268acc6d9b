"""The smallest Celery app on the embedded broker."""

import os

from celery import Celery

app = Celery("tiny", broker=os.environ["POINTSMAN_REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True
