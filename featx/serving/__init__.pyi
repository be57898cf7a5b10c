from .browser_page import PageTarget as PageTarget, reserve_page as reserve_page
from .limits import Limits as Limits
from .server import Served as Served, serve_model as serve_model
