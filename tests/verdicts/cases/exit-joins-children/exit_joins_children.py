"""main ends; a child of multiprocessing waits for an item that nobody puts."""
import multiprocessing


def work(jobs):
    jobs.get()


if __name__ == "__main__":
    context = multiprocessing.get_context("fork") if hasattr(multiprocessing, "get_context") else multiprocessing
    jobs = context.Queue()
    context.Process(target=work, args=(jobs,)).start()
