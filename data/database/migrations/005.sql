-- Version 5: what the mask alone gives of an overlap with a dense network, and masks told apart by their content.

ALTER TABLE overlap_counts ADD COLUMN expected DOUBLE;
ALTER TABLE results ADD COLUMN mask VARCHAR;

UPDATE meta SET value = '5' WHERE key = 'version';
