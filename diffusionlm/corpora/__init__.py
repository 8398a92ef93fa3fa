"""Texts to train on: any file or data set (sources), E2E, the guestbook grammar, the open mix."""
