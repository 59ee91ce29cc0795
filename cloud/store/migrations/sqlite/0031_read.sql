-- +goose Up
ALTER TABLE command ADD COLUMN device TEXT NOT NULL DEFAULT ''; -- that is read

-- +goose Down
ALTER TABLE command DROP COLUMN device;
