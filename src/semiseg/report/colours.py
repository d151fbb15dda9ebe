"""The colours of tables, charts and pictures. Those of the page's text and lines stand in ``page.css``."""

Colour = tuple[int, int, int]

# Cells of a table. Black text keeps a contrast above 7 : 1 on all of them, and orange and purple stay apart under every
# colour blindness.
WORST, BEST = (255, 255, 255), (134, 187, 224)  # of a column
BELOW, ABOVE = (246, 181, 112), (188, 178, 226)  # worse and better than printed; white where equal

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
