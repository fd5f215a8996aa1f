"""The version of Ticketscope, and how to cite it and the paper."""

VERSION = "0.3.0"
PAPER = (
    "N. Liu, G. Yuan, Z. Che, X. Shen, X. Ma, Q. Jin, J. Ren, J. Tang, S. Liu, Y. Wang. Lottery Ticket Preserves "
    "Weight Correlation: Is It Desirable or Not? ICML 2021, PMLR 139, arXiv:2102.11068."
)


def tool() -> str:
    """Return the reference of this program, as in CITATION.cff."""
    return f"The Ticketscope authors. Ticketscope, version {VERSION}, 2026."
