-- Version 4.

UPDATE meta SET value = '4' WHERE key = 'version';
