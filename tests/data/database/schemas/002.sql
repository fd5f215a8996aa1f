-- The layout of the DuckDB file, as a new file gets it. A change here raises the version at the end and comes with
-- migrations/NNN.sql, which brings a file of version NNN - 1 to version NNN and sets the version likewise.
-- Times are UTC. Accuracies are percent, losses nats, durations seconds. Fingerprints are 32 hex digits.

CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);

CREATE TABLE studies (
    study_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    toml VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    -- What the study compares, as its TOML lists it; kept here so that a list of studies needs no parsing.
    datasets VARCHAR[] NOT NULL,
    networks VARCHAR[] NOT NULL,
    learning_rates DOUBLE[] NOT NULL,
    pruners VARCHAR[] NOT NULL,
    starts VARCHAR[] NOT NULL,
    seeds INTEGER[] NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Apart from studies: a cancellation may be read before the launch that it belongs to.
CREATE TABLE cancellations (study_id VARCHAR PRIMARY KEY, cancelled_at TIMESTAMP NOT NULL);

-- What a stage is; never changes. How it stands is in `states`, what it measured in `results` and below.
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
    -- The name that this study knows the images by; equal images may have other names elsewhere.
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

-- How a stage stands, after the latest event about it; revision is that event's id.
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
    -- Measured: zeros over prunable weights.
    sparsity DOUBLE NOT NULL,
    seconds DOUBLE NOT NULL,
    device VARCHAR NOT NULL,
    versions VARCHAR NOT NULL,
    epochs INTEGER NOT NULL,
    test_accuracy DOUBLE NOT NULL,
    test_loss DOUBLE NOT NULL,
    best_test_accuracy DOUBLE NOT NULL,
    best_test_loss DOUBLE NOT NULL,
    best_epoch INTEGER NOT NULL
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

-- Overlap counts and residuals come whole with a result and only with its first copy, so they need no key of their own,
-- which would cost more than the rows: one fine-tuned network brings thousands.
CREATE TABLE overlap_counts (
    fingerprint VARCHAR NOT NULL,
    pair VARCHAR NOT NULL,
    layer VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    p DOUBLE NOT NULL,
    intersection BIGINT NOT NULL,
    top BIGINT NOT NULL,
    size BIGINT NOT NULL
);

CREATE TABLE residuals (fingerprint VARCHAR NOT NULL, round INTEGER NOT NULL, residual DOUBLE NOT NULL);

-- How far the weights in training overlap the initial ones, all layers together, at a few epochs of a pretraining.
CREATE TABLE retention (
    fingerprint VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    p DOUBLE NOT NULL,
    intersection BIGINT NOT NULL,
    top BIGINT NOT NULL
);

-- What a reader of the Compare page chose to keep; state is the query string of its address.
CREATE TABLE views (
    view_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Links for readers without an account. The token itself is never kept. state: that of a shared view, NULL where a study
-- is shared.
CREATE TABLE shares (
    share_id VARCHAR PRIMARY KEY,
    token_hash VARCHAR NOT NULL,
    study_ids VARCHAR[] NOT NULL,
    state VARCHAR,
    note VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    last_used_at TIMESTAMP,
    revoked_at TIMESTAMP
);

INSERT INTO meta VALUES ('version', '2');
