"""Archives of any size made of real activations: vectors, a catalog, questions, right answers, engines."""
