"""The dashboard: pages of HTML over what there is to see, and forms for what there is to do. A folder a page."""
