"""What runs inside the program under study. Nothing here is imported by lastwords: `capture/agent.py` packs it."""
