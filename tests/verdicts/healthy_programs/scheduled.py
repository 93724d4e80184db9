"""APScheduler: python scheduled.py idle|busy."""

import os
import sys

from apscheduler.schedulers.blocking import BlockingScheduler
from web_app import work

scheduler = BlockingScheduler()
scheduler.add_job(work, "interval", seconds=0.02 if sys.argv[1] == "busy" else 3600, max_instances=3)
scheduler.add_listener(lambda _: open(os.path.join(os.environ["LASTWORDS_FOLDER"], "ready"), "w").close())
scheduler.start()
