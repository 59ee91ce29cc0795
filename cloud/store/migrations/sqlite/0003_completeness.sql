-- A quarter is a quarter-hour of UTC, counted from 1970-01-01.

-- +goose Up
-- When a gateway's first process started: nothing was expected of it before.
ALTER TABLE gateway ADD COLUMN first_start BIGINT;

-- A device as accounts and losses name it: they may come before any birth.
CREATE TABLE device (
    id      INTEGER PRIMARY KEY,
    gateway TEXT    NOT NULL REFERENCES gateway (id),
    name    TEXT    NOT NULL,
    UNIQUE (gateway, name)
);

-- The first series of a bundle names the device of what is received.
CREATE INDEX series_first ON series (gateway, device) WHERE id = bundle;

-- What became of a device's samples that were due from quarter on, as one epoch
-- of its gateway says. An account of more than one quarter is kept whole.
-- Keys begin with the quarter so that what is current is written to one place.
CREATE TABLE account (
    quarter    BIGINT NOT NULL,
    device     BIGINT NOT NULL REFERENCES device (id),
    sequence   BIGINT NOT NULL REFERENCES sequence (id),
    quarters   BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    scheduled  BIGINT NOT NULL,
    had_value  BIGINT NOT NULL,
    suppressed BIGINT NOT NULL,
    bad        TEXT   NOT NULL, -- a JSON object of counts by reason; empty if there are none
    missed     BIGINT NOT NULL,
    down       BIGINT NOT NULL,
    delivered  BIGINT NOT NULL,
    PRIMARY KEY (quarter, device, sequence, quarters)
) WITHOUT ROWID;
CREATE INDEX account_long ON account (quarter) WHERE quarters > 1;

-- Whether the gateway has said whose samples a loss cost.
ALTER TABLE declared_loss ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;

-- How many of a device's samples of a quarter a declared loss cost. The same
-- numbers may be thinned several times, each time for others of their samples.
-- Discarded samples had no sequence numbers: both are 0.
CREATE TABLE device_loss (
    quarter   BIGINT NOT NULL,
    device    BIGINT NOT NULL REFERENCES device (id),
    reason    TEXT   NOT NULL,
    sequence  BIGINT NOT NULL REFERENCES sequence (id),
    seq_first BIGINT NOT NULL,
    seq_last  BIGINT NOT NULL,
    samples   BIGINT NOT NULL,
    PRIMARY KEY (quarter, device, reason, sequence, seq_first, seq_last, samples)
) WITHOUT ROWID;

-- How many samples of a bundle are stored, and how many of these came late.
CREATE TABLE received (
    quarter BIGINT NOT NULL,
    bundle  BIGINT NOT NULL,
    samples BIGINT NOT NULL,
    late    BIGINT NOT NULL,
    PRIMARY KEY (quarter, bundle)
) WITHOUT ROWID;
INSERT INTO received (quarter, bundle, samples, late)
    SELECT minute / 15, bundle, SUM(samples), 0 FROM chunk WHERE minute >= 0 GROUP BY minute / 15, bundle;

-- When a stream's way to the log changed, as its gateway says.
CREATE TABLE link_change (
    gateway TEXT   NOT NULL REFERENCES gateway (id),
    stream  TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    state   TEXT   NOT NULL,
    was     TEXT   NOT NULL,
    cause   TEXT   NOT NULL,
    lasted  BIGINT NOT NULL,
    PRIMARY KEY (gateway, stream, at, state)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE link_change;
DROP TABLE received;
DROP TABLE device_loss;
ALTER TABLE declared_loss DROP COLUMN counted;
DROP TABLE account;
DROP INDEX series_first;
DROP TABLE device;
ALTER TABLE gateway DROP COLUMN first_start;
