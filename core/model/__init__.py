"""The generator: assembled from a recipe's components, trained under Fabric, saved and loaded."""
