"""An interactive prompt that nobody types at."""
import code

code.interact()
