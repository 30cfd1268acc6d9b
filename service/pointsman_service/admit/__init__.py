"""May this task enter? The catalogue, the fields and the route of a submission."""
