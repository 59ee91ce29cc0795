-- +goose Up
-- When a gateway's supply failed, as it has told itself by its own clock; 0: it hasn't,
-- or it is back.
ALTER TABLE presence ADD COLUMN supply_failed BIGINT NOT NULL DEFAULT 0;
UPDATE presence SET supply_failed = 1 WHERE last_gasp;
ALTER TABLE presence DROP COLUMN last_gasp;

-- +goose Down
ALTER TABLE presence ADD COLUMN last_gasp BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE presence SET last_gasp = supply_failed <> 0;
ALTER TABLE presence DROP COLUMN supply_failed;
