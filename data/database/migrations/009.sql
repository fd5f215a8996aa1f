-- Version 9: results that were trained elsewhere and imported.

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

UPDATE meta SET value = '9' WHERE key = 'version';
