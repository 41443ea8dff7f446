"""Commands about models: what there is, training, evaluation, prediction."""
