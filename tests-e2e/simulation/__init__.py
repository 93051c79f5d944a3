"""A deterministic simulator: the engine's real code, a seeded world that does everything AWS may do to it.

``scheduler`` interleaves functions as greenlets in virtual time; ``world`` is AWS (buckets, tables, events, executions,
builds, asynchronous invocations) with the faults that ``faults`` draws from the seed; ``functions`` are the engine's
own ``act`` and ``decide``; ``checks`` are the promises, each with a name; ``simulate`` plays one seed.
"""
