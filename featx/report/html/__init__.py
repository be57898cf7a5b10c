"""Pages: sections as one HTML file that opens offline, with figures, pictures, sorting and filtering."""

from featx.report.html.fragments import render_fragment as render_fragment
from featx.report.html.page import render_page as render_page
from featx.report.html.writing import reserve_page as reserve_page, write_page as write_page
