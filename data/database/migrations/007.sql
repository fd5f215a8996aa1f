-- Version 7: links for double-blind review. Links of older versions are not anonymous.

ALTER TABLE shares ADD COLUMN anonymous BOOLEAN DEFAULT false;
ALTER TABLE shares ALTER COLUMN anonymous SET NOT NULL;
ALTER TABLE shares ALTER COLUMN anonymous DROP DEFAULT;
ALTER TABLE shares ADD COLUMN title VARCHAR DEFAULT '';
ALTER TABLE shares ALTER COLUMN title SET NOT NULL;
ALTER TABLE shares ALTER COLUMN title DROP DEFAULT;
ALTER TABLE shares ADD COLUMN with_notes BOOLEAN DEFAULT true;
ALTER TABLE shares ALTER COLUMN with_notes SET NOT NULL;
ALTER TABLE shares ALTER COLUMN with_notes DROP DEFAULT;

UPDATE meta SET value = '7' WHERE key = 'version';
