"""The engine of a line: parts come in, each is judged once, and every verdict is on disk before it is answered.

It needs the extra "station", and knows nothing of HTTP. Nothing is imported here, for the decoder children begin below.
"""
