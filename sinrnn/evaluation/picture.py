"""A figure as PNG: for a file, for TensorBoard, and inline in a notebook."""

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A matplotlib Figure without pyplot that a notebook shows inline."""

    def _repr_png_(self) -> bytes:
        return png(self)


def png(figure: Figure) -> bytes:
    """The picture as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
