-- Version 4: how ADMM's mask differs from one-shot's. ADMM of before had a constant rho, and is another pruner now.

CREATE TABLE supports (
    fingerprint VARCHAR NOT NULL,
    kept BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    accuracy DOUBLE NOT NULL,
    oneshot_accuracy DOUBLE NOT NULL
);

UPDATE roles SET pruner = 'admm_constant' WHERE pruner = 'admm';

-- A study's text was written by this program, which puts each entry of a list on a line of its own.
UPDATE studies SET
    pruners = [CASE WHEN name = 'admm' THEN 'admm_constant' ELSE name END FOR name IN pruners],
    toml = replace(toml, E'\n    "admm",\n', E'\n    "admm_constant",\n')
WHERE list_contains(pruners, 'admm');

-- Among the choices of a query string, of which one alone or several with ~ between them follow an equals sign.
UPDATE views SET state = regexp_replace(state, '([=~])admm(~|&|$)', '\1admm_constant\2', 'g');
UPDATE shares SET state = regexp_replace(state, '([=~])admm(~|&|$)', '\1admm_constant\2', 'g') WHERE state IS NOT NULL;

UPDATE meta SET value = '4' WHERE key = 'version';
