"""Taking a capture apart along protocol/vitalwire.cddl: what each byte is; where and why a bad one is bad."""
