"""What the first page asks, each time in one statement however much it wants to know.

Every process that has the page open for somebody asks it over and over: what stands still must not be twenty round
trips a second. Each answer is bounded, and of many tasks none is counted.
"""
