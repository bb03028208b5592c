"""After the release: is the live student still well, and is what it is asked still what it was taught?"""
