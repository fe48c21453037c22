"""A page in the browser that shows a trained recommender's interests at work."""
