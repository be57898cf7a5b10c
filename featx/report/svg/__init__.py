"""Figures as SVG of featx's own: each with a title, a description, and a title on every mark."""

from featx.report.svg.drawing import Drawing as Drawing, draw as draw, draw_svg as draw_svg
