"""The newest schema revision that this program knows; a test compares it with the migrations."""

HEAD = "0001"
