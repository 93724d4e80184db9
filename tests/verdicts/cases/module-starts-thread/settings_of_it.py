import threading


def fetch():
    import settings_of_it  # <-

    return settings_of_it.fetched


fetched = []
fetching = threading.Thread(target=fetch, name="fetch")
fetching.start()
fetching.join()  # <-
