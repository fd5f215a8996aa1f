-- The tables of a new DuckDB file. A change here must raise the version at the end, and needs a file migrations/NNN.sql,
-- which changes a file of version NNN - 1 likewise and sets its version to NNN.
-- Times are UTC. Accuracies are percent, losses nats, durations seconds. Fingerprints are 32 hex digits.

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

CREATE TABLE studies (
    study_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    toml VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    -- These lists of the TOML have their own columns, so that a list of studies needs no parsing.
    datasets VARCHAR[] NOT NULL,
    networks VARCHAR[] NOT NULL,
    learning_rates DOUBLE[] NOT NULL,
    pruners VARCHAR[] NOT NULL,
    starts VARCHAR[] NOT NULL,
    seeds INTEGER[] NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- This table is separate from studies, because the event of a cancellation may be read before that of the launch.
-- revision: made from the id of that event, as in `states`; NULL if an older version recorded it.
CREATE TABLE cancellations (study_id VARCHAR PRIMARY KEY, cancelled_at TIMESTAMP NOT NULL, revision VARCHAR);

-- What the owner calls a study since its launch: name and note, NULL where they are still those of the launch, and tags.
-- Like the next table, it is separate from studies, whose rows never change; revision: as in `states`.
CREATE TABLE descriptions (
    study_id VARCHAR PRIMARY KEY,
    name VARCHAR,
    note VARCHAR,
    tags VARCHAR[] NOT NULL,
    revision VARCHAR NOT NULL
);

-- When each study was moved to the Trash; NULL once it was brought back.
CREATE TABLE trash (study_id VARCHAR PRIMARY KEY, trashed_at TIMESTAMP, revision VARCHAR NOT NULL);

-- The latest launch or retry of each study. Whichever came last, this or the cancellation, holds.
CREATE TABLE launches (study_id VARCHAR PRIMARY KEY, revision VARCHAR NOT NULL);

-- The settings of stages, which never change. Their states are in `states`, their measurements in `results` and below.
CREATE TABLE stages (
    fingerprint VARCHAR PRIMARY KEY,
    kind VARCHAR NOT NULL,
    identity VARCHAR NOT NULL,
    train_images BIGINT,
    test_images BIGINT,
    network VARCHAR NOT NULL,
    learning_rate DOUBLE NOT NULL,
    seed BIGINT NOT NULL,
    batch_size INTEGER NOT NULL,
    "precision" VARCHAR NOT NULL,
    score VARCHAR,
    start VARCHAR,
    sparsity DOUBLE NOT NULL,
    parent VARCHAR,
    root VARCHAR,
    epochs INTEGER NOT NULL,
    spec VARCHAR NOT NULL
);

CREATE TABLE study_stages (
    study_id VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    -- This study's name of the images; in other studies equal images may have other names.
    dataset VARCHAR NOT NULL,
    reused BOOLEAN NOT NULL,
    PRIMARY KEY (study_id, fingerprint)
);

CREATE TABLE roles (
    study_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    fingerprint VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    network VARCHAR NOT NULL,
    learning_rate DOUBLE NOT NULL,
    seed BIGINT NOT NULL,
    pruner VARCHAR,
    sparsity DOUBLE NOT NULL,
    start VARCHAR NOT NULL,
    PRIMARY KEY (study_id, position)
);

-- The state of each stage after its latest event; revision is made from that event's id.
CREATE TABLE states (
    fingerprint VARCHAR PRIMARY KEY,
    state VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    worker VARCHAR,
    host VARCHAR,
    device VARCHAR,
    error VARCHAR,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    updated_at TIMESTAMP NOT NULL,
    revision VARCHAR NOT NULL
);

CREATE TABLE results (
    fingerprint VARCHAR PRIMARY KEY,
    -- The measured fraction of prunable weights that are 0. If the training diverged, this, all accuracies and all losses
    -- are NULL.
    sparsity DOUBLE,
    seconds DOUBLE NOT NULL,
    device VARCHAR NOT NULL,
    versions VARCHAR NOT NULL,
    epochs INTEGER NOT NULL,
    test_accuracy DOUBLE,
    test_loss DOUBLE,
    best_test_accuracy DOUBLE,
    best_test_loss DOUBLE,
    best_epoch INTEGER,
    -- The epoch after which a loss was no longer finite, 0 if the parent of the stage diverged; else NULL.
    diverged INTEGER,
    -- The hash of a retraining's mask; NULL for other stages, and where it is not recorded.
    mask VARCHAR
);

-- Where imported results come from, which were trained elsewhere. lab: what their exporter calls that place, '' without a
-- name. worker, host, device, started_at, finished_at: as in `states`, of the training there.
CREATE TABLE origins (
    fingerprint VARCHAR PRIMARY KEY,
    lab VARCHAR NOT NULL,
    worker VARCHAR,
    host VARCHAR,
    device VARCHAR,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    imported_at TIMESTAMP
);

CREATE TABLE epochs (
    fingerprint VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    learning_rate DOUBLE NOT NULL,
    train_loss DOUBLE NOT NULL,
    train_accuracy DOUBLE NOT NULL,
    test_loss DOUBLE NOT NULL,
    test_accuracy DOUBLE NOT NULL,
    seconds DOUBLE NOT NULL,
    PRIMARY KEY (fingerprint, epoch)
);

-- Overlap counts and residuals are written once, with the first copy of a result, so they need no key, which would take
-- more space than the rows: a fine-tuned network has thousands.
CREATE TABLE overlap_counts (
    fingerprint VARCHAR NOT NULL,
    pair VARCHAR NOT NULL,
    layer VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    p DOUBLE NOT NULL,
    intersection BIGINT NOT NULL,
    top BIGINT NOT NULL,
    size BIGINT NOT NULL,
    -- For pairs of a pruned and a dense network, the mean intersection of random orders within the mask; NULL for other
    -- pairs, and where it is not recorded.
    expected DOUBLE
);

CREATE TABLE residuals (fingerprint VARCHAR NOT NULL, round INTEGER NOT NULL, residual DOUBLE NOT NULL);

-- ADMM's mask compared with that of one-shot pruning: the weights that it keeps, those of them that one-shot pruning
-- would remove, and both accuracies right after pruning, without training. Stages of ADMM that diverged, and older ones,
-- have no row.
CREATE TABLE supports (
    fingerprint VARCHAR NOT NULL,
    kept BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    accuracy DOUBLE NOT NULL,
    oneshot_accuracy DOUBLE NOT NULL
);

-- The overlap of the weights with the initial ones, over all layers, at a few epochs of a pretraining.
CREATE TABLE retention (
    fingerprint VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    p DOUBLE NOT NULL,
    intersection BIGINT NOT NULL,
    top BIGINT NOT NULL
);

-- Saved views of the Compare page; state is the query string of its address.
CREATE TABLE views (
    view_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Links for readers without an account, without their tokens. state: the shared view's, NULL if a study is shared.
-- anonymous: for double-blind review. title: what such a link calls its studies, '' for their own names. with_notes:
-- whether it shows the studies' notes, as all other links do.
CREATE TABLE shares (
    share_id VARCHAR PRIMARY KEY,
    token_hash VARCHAR NOT NULL,
    study_ids VARCHAR[] NOT NULL,
    state VARCHAR,
    note VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    last_used_at TIMESTAMP,
    revoked_at TIMESTAMP,
    anonymous BOOLEAN NOT NULL,
    title VARCHAR NOT NULL,
    with_notes BOOLEAN NOT NULL
);

-- All studies as they are called now. described: the revision of the description; place: the order of their launches.
CREATE VIEW named AS
    SELECT studies.* REPLACE (
            coalesce(descriptions.name, studies.name) AS name, coalesce(descriptions.note, studies.note) AS note
        ),
        coalesce(tags, []) AS tags, coalesce(descriptions.revision, '') AS described, studies.rowid AS place,
        trashed_at
    FROM studies LEFT JOIN descriptions USING (study_id) LEFT JOIN trash USING (study_id);

-- The studies that are not in the Trash, which all lists, pages and links show.
CREATE VIEW listed AS SELECT * EXCLUDE (trashed_at) FROM named WHERE trashed_at IS NULL;

INSERT INTO meta VALUES ('version', '9');
