# Ends its main thread while another waits for ever.
import threading

threading.Thread(target=threading.Event().wait, name="stuck").start()
print("ready", flush=True)
