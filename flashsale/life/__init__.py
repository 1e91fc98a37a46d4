"""The life of a sale, one verb a file:
schedule → enter → draw → admit → reserve → confirm → review → cancel → reallocate (→ schedule …).

The gate decides, the books remember, the rules know neither; only the life knows both. Taking is gate first, then
books; giving back is books first, then gate. Crowd-sized verbs (enter, look, leave, status) never touch the books.
"""
