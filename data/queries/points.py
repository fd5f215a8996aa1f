"""The SQL of a point of a chart, shared by all that read points: of one study, of several, or of roles of a plan."""

# What a point stands for, beside the fingerprint of its training.
ROLE = ("dataset", "network", "learning_rate", "seed", "pruner", "sparsity", "start")

# From a table of roles that the query names `role`.
POINT = ", ".join(f"role.{name}" for name in ("fingerprint", *ROLE))

# What its training measured, with the tables that hold it joined to `role`; a mask that ADMM made has a support.
MEASURED = """result.epochs, test_accuracy, test_loss, best_test_accuracy, best_test_loss, best_epoch,
    result.sparsity AS measured_sparsity, mask, support.moved / nullif(support.kept, 0) AS support_moved"""
RESULTS = """JOIN results AS result USING (fingerprint) JOIN stages AS stage USING (fingerprint)
    LEFT JOIN supports AS support ON support.fingerprint = stage.parent"""

# Overlap ratios over all layers, from a table `pooled` that `pooled` makes.
POOLED = "pair, p, ratio, layers, p AS chance, level"


def pooled(where: str) -> str:
    """Return the query of overlap counts taken over all layers, of the rows that a condition names.

    level: what the mask alone gives, NULL unless it is recorded of every layer.
    """
    return f"""
        SELECT fingerprint, pair, p, sum(intersection) / nullif(sum(top), 0) AS ratio, count(*)::INTEGER AS layers,
            CASE WHEN count(expected) = count(*) THEN sum(expected) / nullif(sum(top), 0) END AS level
        FROM overlap_counts WHERE {where} GROUP BY fingerprint, pair, p
    """
