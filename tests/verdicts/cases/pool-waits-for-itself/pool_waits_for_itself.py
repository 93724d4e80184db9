"""Each worker of a pool waits for work that needs a worker of the same pool."""
import threading
from concurrent.futures import ThreadPoolExecutor, wait

pages = ThreadPoolExecutor(max_workers=3)
started = threading.Barrier(3)


def download(url):
    return len(url)


def crawl(site):
    started.wait()
    found = [pages.submit(download, site + str(number)) for number in range(2)]
    wait(found)  # <-


crawling = [pages.submit(crawl, "site%d" % number) for number in range(3)]
for one in crawling:
    one.result()  # <-
