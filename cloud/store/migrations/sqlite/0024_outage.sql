-- +goose Up
ALTER TABLE alarm ADD COLUMN zone TEXT NOT NULL DEFAULT ''; -- of one that is of no gateway

-- The outages. over is 0 of those that go on; told is the engine's revision that was
-- stored last; data is the outage as JSON, the rest is what is searched by.
CREATE TABLE outage (
    id     TEXT   NOT NULL PRIMARY KEY,
    state  TEXT   NOT NULL,
    zone   TEXT   NOT NULL,
    feeder TEXT   NOT NULL,
    device TEXT   NOT NULL,
    alarm  TEXT   NOT NULL, -- the one that stands for it, '': none yet
    found  BIGINT NOT NULL,
    over   BIGINT NOT NULL,
    told   BIGINT NOT NULL,
    data   TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX outage_found ON outage (found, id);
CREATE INDEX outage_open ON outage (found) WHERE over = 0;

-- The service points that were without supply in an outage; until is 0 while they are.
CREATE TABLE outage_point (
    outage    TEXT   NOT NULL REFERENCES outage (id),
    point     TEXT   NOT NULL,
    customers BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (outage, point)
) WITHOUT ROWID;
CREATE INDEX outage_point_point ON outage_point (point);

-- The times before the last one that they were without supply in it.
CREATE TABLE outage_earlier (
    outage    TEXT NOT NULL REFERENCES outage (id),
    number    BIGINT NOT NULL,
    point     TEXT NOT NULL,
    customers BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (outage, number, point)
) WITHOUT ROWID;

-- The steps by which supply came back.
CREATE TABLE outage_step (
    outage        TEXT   NOT NULL REFERENCES outage (id),
    number        BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    points        BIGINT NOT NULL,
    customers     BIGINT NOT NULL,
    customers_out BIGINT NOT NULL,
    tie           TEXT   NOT NULL,
    PRIMARY KEY (outage, number)
) WITHOUT ROWID;

-- What has become of an outage, by the fact that holds it after that. Rows are only added.
CREATE TABLE outage_entry (
    fact    BIGINT NOT NULL PRIMARY KEY,
    outage  TEXT   NOT NULL REFERENCES outage (id),
    at      BIGINT NOT NULL,
    action  TEXT   NOT NULL,
    state   TEXT   NOT NULL,
    actor   TEXT   NOT NULL,
    comment TEXT   NOT NULL,
    detail  TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX outage_entry_outage ON outage_entry (outage, fact);

-- +goose Down
DROP TABLE outage_entry;
DROP TABLE outage_step;
DROP TABLE outage_earlier;
DROP TABLE outage_point;
DROP TABLE outage;
ALTER TABLE alarm DROP COLUMN zone;
