"""The colours of charts and pictures. Those of the page's text, lines and cells stand in ``page.css``."""

# Curves, boxes and bars: Okabe and Ito's colours, which stay apart under every common colour blindness. Their yellow is
# left out, because it is too faint on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CONTROL_COLOUR = "#767676"
EDGE_COLOUR, GRID_COLOUR = "#888888", "#e4e4e4"

# Organs in pictures, in the order of their ids.
ORGAN_COLOURS = (
    "#56B4E9", "#E69F00", "#F0E442", "#00C08B", "#D55E00", "#CC79A7", "#5B9BFF",
    "#BBCC33", "#FFAABB", "#99DDFF", "#EE8866", "#C9A27C", "#B58CFF", "#AAAA00", "#44BB99",
)  # fmt: skip
LETTER_COLOUR = "#FFE27A"  # directions at the edges of a slice
