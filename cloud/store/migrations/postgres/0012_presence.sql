-- +goose Up
-- When a record of the gateway was last read, by the cloud's clock.
ALTER TABLE gateway ADD COLUMN heard BIGINT NOT NULL DEFAULT 0;

-- What gateways say by which their silence is noticed, and what it means. Times are the
-- cloud's; 0 is never, or no more; every is 0 for a gateway that doesn't say any more. number
-- never changes.
CREATE TABLE presence (
    number    BIGINT NOT NULL PRIMARY KEY,
    gateway   TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES gateway (id),
    every     BIGINT NOT NULL,
    site      TEXT COLLATE "C" NOT NULL,
    feeder    TEXT COLLATE "C" NOT NULL,
    uplink    TEXT COLLATE "C" NOT NULL,
    silent    BIGINT NOT NULL DEFAULT 0, -- since when it is taken for silent
    stopped   BOOLEAN NOT NULL DEFAULT FALSE,
    last_gasp BOOLEAN NOT NULL DEFAULT FALSE
);

-- The state of the rules about all gateways: one row. version counts how often it was saved.
CREATE TABLE fleet_state (
    id      BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    state   TEXT COLLATE "C" NOT NULL
);

-- +goose Down
DROP TABLE fleet_state;
DROP TABLE presence;
ALTER TABLE gateway DROP COLUMN heard;
