-- +goose Up
-- The planned switching that an outage is part of, '': none.
ALTER TABLE outage ADD COLUMN plan TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX outage_plan ON outage (plan) WHERE plan <> '';

-- Planned switching. data is it as JSON, the rest is what is searched by.
CREATE TABLE planned_outage (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    zone      TEXT COLLATE "C" NOT NULL, -- of its first device
    begins    BIGINT NOT NULL,
    ends      BIGINT NOT NULL,
    cancelled BOOLEAN NOT NULL,
    data      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX planned_outage_begins ON planned_outage (begins, id);

-- The devices that are opened.
CREATE TABLE planned_device (
    plan   TEXT COLLATE "C" NOT NULL REFERENCES planned_outage (id),
    device TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (plan, device)
);
CREATE INDEX planned_device_device ON planned_device (device);

-- What has become of it. Rows are only added.
CREATE TABLE planned_entry (
    plan    TEXT COLLATE "C" NOT NULL REFERENCES planned_outage (id),
    number  BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    actor   TEXT COLLATE "C" NOT NULL,
    comment TEXT COLLATE "C" NOT NULL,
    detail  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (plan, number)
);

-- +goose Down
DROP TABLE planned_entry;
DROP TABLE planned_device;
DROP TABLE planned_outage;
DROP INDEX outage_plan;
ALTER TABLE outage DROP COLUMN plan;
