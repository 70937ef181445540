"""The tour: a house with a simulated provider, a sample handbook, and an agent that is killed in the middle.

Read `demo.py` (what is started), `tour.py` (what is told, step by step), `app.py` (the agent).
"""
