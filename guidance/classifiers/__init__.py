"""Readers: small networks that read the token posterior itself, so that plugins can ask what a text says at every step.

reader is the network, soft_text what it is given, store where trained ones are kept and found.
"""
