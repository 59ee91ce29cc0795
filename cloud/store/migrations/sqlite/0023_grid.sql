-- +goose Up
-- The models of the network that were imported, or returned to.
CREATE TABLE grid_version (
    version     BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    actor       TEXT   NOT NULL,
    comment     TEXT   NOT NULL,
    returned_to BIGINT NOT NULL, -- the version whose model it has again, 0: none
    name        TEXT   NOT NULL,
    coordinates TEXT   NOT NULL,
    digest      TEXT   NOT NULL, -- SHA-256 of the name, the coordinates and the table of its assets
    assets      BIGINT NOT NULL,
    findings    TEXT   NOT NULL, -- JSON
    warnings    BIGINT NOT NULL,
    model       BLOB -- the table of its assets, compressed; null: forgotten
);

-- The version in use, and when its network was last looked at.
CREATE TABLE grid_current (
    one         BIGINT NOT NULL PRIMARY KEY, -- 1
    version     BIGINT NOT NULL REFERENCES grid_version (version),
    as_of       BIGINT NOT NULL,
    next_change BIGINT NOT NULL -- when the next asset comes or goes, 0: never
);

-- What is part of that network then, nodes that equipment names included. What an asset
-- doesn't say itself is of the network in normal operation.
CREATE TABLE grid_asset (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    type          TEXT   NOT NULL,
    zone          TEXT   NOT NULL,
    parent        TEXT   NOT NULL, -- the zone that contains a zone
    substation    TEXT   NOT NULL,
    feeder        TEXT   NOT NULL,
    transformer   TEXT   NOT NULL, -- the nearest one that supplies it
    phases        TEXT   NOT NULL,
    customers     BIGINT NOT NULL,
    voltage       DOUBLE PRECISION, -- V
    rated_power   DOUBLE PRECISION, -- VA
    rated_current DOUBLE PRECISION, -- A
    x             DOUBLE PRECISION,
    y             DOUBLE PRECISION,
    valid_from    BIGINT NOT NULL, -- 0: always
    valid_to      BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX grid_asset_kind ON grid_asset (kind, id);
CREATE INDEX grid_asset_feeder ON grid_asset (feeder, id) WHERE feeder <> '';
CREATE INDEX grid_asset_substation ON grid_asset (substation, id) WHERE substation <> '';

-- Each zone of that network, and the zones that it lies within: itself, and what contains
-- it.
CREATE TABLE grid_zone (
    zone   TEXT NOT NULL,
    within TEXT NOT NULL,
    PRIMARY KEY (zone, within)
) WITHOUT ROWID;

CREATE INDEX series_asset ON series (asset);
CREATE INDEX alarm_asset ON alarm (asset) WHERE active;

CREATE VIEW asset AS
    SELECT id AS asset, kind, name, type, zone, parent, substation, feeder, transformer, phases, customers, voltage, rated_power, rated_current,
        x, y, valid_from AS valid_from_us, valid_to AS valid_to_us
    FROM grid_asset;

-- +goose Down
DROP VIEW asset;
DROP INDEX alarm_asset;
DROP INDEX series_asset;
DROP TABLE grid_zone;
DROP TABLE grid_asset;
DROP TABLE grid_current;
DROP TABLE grid_version;
