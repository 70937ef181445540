"""Small PDFs of our own: pages of lines with sizes, or of one grey image."""

from collections.abc import Sequence

Line = tuple[float, str]  # size in points, Latin-1 text
IMAGE = "image"


def pdf(*pages: Sequence[Line] | str) -> bytes:
    """A PDF of these pages."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        content = image() if isinstance(page, str) else text(page)
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R"
            " /Resources << /Font << /F 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    tail = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return out + f"{tail}startxref\n{len(out)}\n%%EOF\n".encode()


def text(lines: Sequence[Line]) -> str:
    """Lines from the top; one size is given by the font, its scale by the matrix in every other line."""
    parts, top = [], 740.0
    for number, (size, words) in enumerate(lines):
        top -= size * 1.5
        escaped = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        font, scale = (1, size) if number % 2 else (size, 1)
        parts.append(f"BT /F {font} Tf {scale} 0 0 {scale} 72 {top} Tm ({escaped}) Tj ET")
    return "\n".join(parts)


def image() -> str:
    """One grey square."""
    return "q 200 0 0 200 100 400 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"
