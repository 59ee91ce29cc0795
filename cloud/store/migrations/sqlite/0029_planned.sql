-- +goose Up
-- The planned switching that an outage is part of, '': none.
ALTER TABLE outage ADD COLUMN plan TEXT NOT NULL DEFAULT '';
CREATE INDEX outage_plan ON outage (plan) WHERE plan <> '';

-- Planned switching. data is it as JSON, the rest is what is searched by.
CREATE TABLE planned_outage (
    id        TEXT NOT NULL PRIMARY KEY,
    zone      TEXT NOT NULL, -- of its first device
    begins    BIGINT NOT NULL,
    ends      BIGINT NOT NULL,
    cancelled BOOLEAN NOT NULL,
    data      TEXT NOT NULL
);
CREATE INDEX planned_outage_begins ON planned_outage (begins, id);

-- The devices that are opened.
CREATE TABLE planned_device (
    plan   TEXT NOT NULL REFERENCES planned_outage (id),
    device TEXT NOT NULL,
    PRIMARY KEY (plan, device)
) WITHOUT ROWID;
CREATE INDEX planned_device_device ON planned_device (device);

-- What has become of it. Rows are only added.
CREATE TABLE planned_entry (
    plan    TEXT NOT NULL REFERENCES planned_outage (id),
    number  BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    action  TEXT NOT NULL,
    actor   TEXT NOT NULL,
    comment TEXT NOT NULL,
    detail  TEXT NOT NULL,
    PRIMARY KEY (plan, number)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE planned_entry;
DROP TABLE planned_device;
DROP TABLE planned_outage;
DROP INDEX outage_plan;
ALTER TABLE outage DROP COLUMN plan;
