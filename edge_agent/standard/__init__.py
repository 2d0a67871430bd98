"""Off-the-shelf Bluetooth devices of the standard profiles: what they say, turned into frames that the agent
makes, and signs, on their behalf.
"""
