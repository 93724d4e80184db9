"""main ends; a thread that is no daemon waits for a condition for ever."""
import threading

news = threading.Condition()


def listen():
    with news:
        news.wait()  # <-


threading.Thread(target=listen, name="listener").start()
