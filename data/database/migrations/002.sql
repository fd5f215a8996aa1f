-- Version 2: overlap with the initial weights over training time, saved views, and links that share.

CREATE TABLE retention (
    fingerprint VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    p DOUBLE NOT NULL,
    intersection BIGINT NOT NULL,
    top BIGINT NOT NULL
);

CREATE TABLE views (
    view_id VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

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

UPDATE meta SET value = '2' WHERE key = 'version';
