"""Lists the images in folders, manifests, archives, tables and arrays as image sets, and reads them."""
