"""The pages of task types: what each does and how it does; a form made from its schema to submit one."""
