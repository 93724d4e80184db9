"""A coroutine is made and forgotten, with -W error."""

import warnings

warnings.simplefilter("error")


async def refresh():
    return 1


def main():
    refresh()  # <-
    return 2


main()
