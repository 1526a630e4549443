from hypothesis import settings

# A busy machine makes single examples slow; pytest's timeout is the one that watches.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
