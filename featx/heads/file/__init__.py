"""The format of head files, which strangers may have written: every part is bounded and checked before it is used.

archive      the zip: exactly its members, of plain kinds, that unpack to no more than the file's size allows
description  head.json: every field by type and range
grammar      pipeline.skops before it is loaded: only the types that heads consist of, and plain arrays
fitted       the loaded pipeline: its parts fit each other and the description
"""
