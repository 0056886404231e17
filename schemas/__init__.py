"""The vocabulary: units, input events, output events, risk parameters, and the wire format."""
