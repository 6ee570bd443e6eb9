"""What strangers send: broken files, archives, recipes, checkpoints and strings; nothing of it may harm."""
