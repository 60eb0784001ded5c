from hypothesis import settings

# Compiling a kernel takes seconds, and only the first example pays for it.
settings.register_profile("chamaleonet", deadline=None)
settings.load_profile("chamaleonet")
