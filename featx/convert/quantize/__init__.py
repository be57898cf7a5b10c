"""Quantises a backbone to int8 or float16, and measures its agreement with float32 and its speed."""
