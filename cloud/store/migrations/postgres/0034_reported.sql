-- +goose Up
-- Outages that other systems report. over is 0 of those that go on; ends is when planned
-- ones are over by themselves, 0: never; told is the time of the report that said so last;
-- data is the outage as JSON, the rest is what is searched by.
CREATE TABLE reported_outage (
    source    TEXT COLLATE "C" NOT NULL, -- the other system
    id        TEXT COLLATE "C" NOT NULL, -- its own
    equipment TEXT COLLATE "C" NOT NULL,
    feeder    TEXT COLLATE "C" NOT NULL,
    began     BIGINT NOT NULL,
    ends      BIGINT NOT NULL,
    over      BIGINT NOT NULL,
    told      BIGINT NOT NULL,
    data      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (source, id)
);
CREATE INDEX reported_outage_began ON reported_outage (began, source, id);

-- +goose Down
DROP TABLE reported_outage;
