"""The recipes that come with crystalfw: YAML files, found by name (`crystalfw run xattn`)."""
