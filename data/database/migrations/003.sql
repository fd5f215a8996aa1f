-- Version 3: a training that diverged is a result, without accuracies.

ALTER TABLE results ALTER COLUMN sparsity DROP NOT NULL;
ALTER TABLE results ALTER COLUMN test_accuracy DROP NOT NULL;
ALTER TABLE results ALTER COLUMN test_loss DROP NOT NULL;
ALTER TABLE results ALTER COLUMN best_test_accuracy DROP NOT NULL;
ALTER TABLE results ALTER COLUMN best_test_loss DROP NOT NULL;
ALTER TABLE results ALTER COLUMN best_epoch DROP NOT NULL;
ALTER TABLE results ADD COLUMN diverged INTEGER;

UPDATE meta SET value = '3' WHERE key = 'version';
