-- +goose Up
ALTER TABLE alarm ADD COLUMN zone TEXT COLLATE "C" NOT NULL DEFAULT ''; -- of one that is of no gateway

-- The outages. over is 0 of those that go on; told is the engine's revision that was
-- stored last; data is the outage as JSON, the rest is what is searched by.
CREATE TABLE outage (
    id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state  TEXT COLLATE "C" NOT NULL,
    zone   TEXT COLLATE "C" NOT NULL,
    feeder TEXT COLLATE "C" NOT NULL,
    device TEXT COLLATE "C" NOT NULL,
    alarm  TEXT COLLATE "C" NOT NULL, -- the one that stands for it, '': none yet
    found  BIGINT NOT NULL,
    over   BIGINT NOT NULL,
    told   BIGINT NOT NULL,
    data   TEXT COLLATE "C" NOT NULL
);
CREATE INDEX outage_found ON outage (found, id);
CREATE INDEX outage_open ON outage (found) WHERE over = 0;

-- The service points that were without supply in an outage; until is 0 while they are.
CREATE TABLE outage_point (
    outage    TEXT COLLATE "C" NOT NULL REFERENCES outage (id),
    point     TEXT COLLATE "C" NOT NULL,
    customers BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (outage, point)
);
CREATE INDEX outage_point_point ON outage_point (point);

-- The times before the last one that they were without supply in it.
CREATE TABLE outage_earlier (
    outage    TEXT COLLATE "C" NOT NULL REFERENCES outage (id),
    number    BIGINT NOT NULL,
    point     TEXT COLLATE "C" NOT NULL,
    customers BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    PRIMARY KEY (outage, number, point)
);

-- The steps by which supply came back.
CREATE TABLE outage_step (
    outage        TEXT COLLATE "C" NOT NULL REFERENCES outage (id),
    number        BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    points        BIGINT NOT NULL,
    customers     BIGINT NOT NULL,
    customers_out BIGINT NOT NULL,
    tie           TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (outage, number)
);

-- What has become of an outage, by the fact that holds it after that. Rows are only added.
CREATE TABLE outage_entry (
    fact    BIGINT NOT NULL PRIMARY KEY,
    outage  TEXT COLLATE "C" NOT NULL REFERENCES outage (id),
    at      BIGINT NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    state   TEXT COLLATE "C" NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    detail  TEXT COLLATE "C" NOT NULL
);
CREATE INDEX outage_entry_outage ON outage_entry (outage, fact);

-- +goose Down
DROP TABLE outage_entry;
DROP TABLE outage_step;
DROP TABLE outage_earlier;
DROP TABLE outage_point;
DROP TABLE outage;
ALTER TABLE alarm DROP COLUMN zone;
