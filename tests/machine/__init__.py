"""Adversary and honest users against the gate, step by step, judged from outside."""
