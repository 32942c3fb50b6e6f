"""Performance figures: how good predictions were, from counts and sums of labelled events.

Each task has a NamedTuple of sums, a `count_...` function that makes it of labelled events, and a
`..._figures` function that derives the figures. Every array of the sums is additive, so sums of
parts add up (`added`) to those of the whole; counts come out the same bits in any order, sums of
losses up to rounding. First axis everywhere: rows (slices). Figures are NaN where undefined.
"""
