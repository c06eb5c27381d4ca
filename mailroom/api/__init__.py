"""The HTTP service: inbox pages for people, /v1 for programs, and what operators ask.

It knows the domain and the ports; `mailroom.wiring` knows which adapters stand behind them.
"""
