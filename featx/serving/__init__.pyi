from .limits import Limits as Limits
from .server import Served as Served, serve_model as serve_model
