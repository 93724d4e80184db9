"""What each thread waits for: from the word on which it sleeps to the lock, queue or thread that the program knows."""
