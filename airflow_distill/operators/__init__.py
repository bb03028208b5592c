"""Operators: thin adapters that keep arguments, call one stage or gateway and return a receipt."""
