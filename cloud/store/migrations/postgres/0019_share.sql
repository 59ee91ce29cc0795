-- +goose Up
-- How often a ledger has written a sequence. One that has read what was received before
-- another wrote is refused by it.
ALTER TABLE sequence ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

-- Up to when all that the log had of each part of a consumer's work is stored, µs.
CREATE TABLE consumer_progress (
    consumer TEXT   COLLATE "C" NOT NULL,
    part     BIGINT NOT NULL,
    parts    BIGINT NOT NULL,
    through  BIGINT NOT NULL,
    PRIMARY KEY (consumer, part)
);

-- +goose Down
DROP TABLE consumer_progress;
ALTER TABLE sequence DROP COLUMN revision;
