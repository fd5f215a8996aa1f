-- Version 6: whether a study was cancelled before or after its latest launch is known by the order of the events.

ALTER TABLE cancellations ADD COLUMN revision VARCHAR;
CREATE TABLE launches (study_id VARCHAR PRIMARY KEY, revision VARCHAR NOT NULL);

UPDATE meta SET value = '6' WHERE key = 'version';
