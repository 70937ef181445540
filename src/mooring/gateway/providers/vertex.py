"""Gemini in a Google Cloud project: the generateContent wire at a regional address, with Google's tokens for a key."""

from ..vertex import VertexVendor


class Provider(VertexVendor):
    publisher = "google"
    wire = "gemini_generate"
    other_wires = ("gemini_count_tokens",)
    cap_field = "maxOutputTokens"
    price_provider = "google"
