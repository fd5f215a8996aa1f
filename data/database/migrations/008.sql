-- Version 8: names, notes and tags that the owner changes, and a Trash.

CREATE TABLE descriptions (
    study_id VARCHAR PRIMARY KEY,
    name VARCHAR,
    note VARCHAR,
    tags VARCHAR[] NOT NULL,
    revision VARCHAR NOT NULL
);

CREATE TABLE trash (study_id VARCHAR PRIMARY KEY, trashed_at TIMESTAMP, revision VARCHAR NOT NULL);

CREATE VIEW named AS
    SELECT studies.* REPLACE (
            coalesce(descriptions.name, studies.name) AS name, coalesce(descriptions.note, studies.note) AS note
        ),
        coalesce(tags, []) AS tags, coalesce(descriptions.revision, '') AS described, studies.rowid AS place,
        trashed_at
    FROM studies LEFT JOIN descriptions USING (study_id) LEFT JOIN trash USING (study_id);

CREATE VIEW listed AS SELECT * EXCLUDE (trashed_at) FROM named WHERE trashed_at IS NULL;

UPDATE meta SET value = '8' WHERE key = 'version';
