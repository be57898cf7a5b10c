"""Image sets: lists the images in folders, manifests, archives, tables and arrays, and reads them."""
