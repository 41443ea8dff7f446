"""Archives of any size made of real activations: the default encoder's vectors, a catalog, questions, right answers."""
