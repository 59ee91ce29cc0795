-- +goose Up
-- The models of the network that were imported, or returned to.
CREATE TABLE grid_version (
    version     BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    actor       TEXT   COLLATE "C" NOT NULL,
    comment     TEXT   COLLATE "C" NOT NULL,
    returned_to BIGINT NOT NULL, -- the version whose model it has again, 0: none
    name        TEXT   COLLATE "C" NOT NULL,
    coordinates TEXT   COLLATE "C" NOT NULL,
    digest      TEXT   COLLATE "C" NOT NULL, -- SHA-256 of the name, the coordinates and the table of its assets
    assets      BIGINT NOT NULL,
    findings    TEXT   COLLATE "C" NOT NULL, -- JSON
    warnings    BIGINT NOT NULL,
    model       BYTEA -- the table of its assets, compressed; null: forgotten
);
ALTER TABLE grid_version ALTER COLUMN model SET STORAGE EXTERNAL; -- it is compressed already

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
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    kind          TEXT   COLLATE "C" NOT NULL,
    name          TEXT   COLLATE "C" NOT NULL,
    type          TEXT   COLLATE "C" NOT NULL,
    zone          TEXT   COLLATE "C" NOT NULL,
    parent        TEXT   COLLATE "C" NOT NULL, -- the zone that contains a zone
    substation    TEXT   COLLATE "C" NOT NULL,
    feeder        TEXT   COLLATE "C" NOT NULL,
    transformer   TEXT   COLLATE "C" NOT NULL, -- the nearest one that supplies it
    phases        TEXT   COLLATE "C" NOT NULL,
    customers     BIGINT NOT NULL,
    voltage       DOUBLE PRECISION, -- V
    rated_power   DOUBLE PRECISION, -- VA
    rated_current DOUBLE PRECISION, -- A
    x             DOUBLE PRECISION,
    y             DOUBLE PRECISION,
    valid_from    BIGINT NOT NULL, -- 0: always
    valid_to      BIGINT NOT NULL
);
CREATE INDEX grid_asset_kind ON grid_asset (kind, id);
CREATE INDEX grid_asset_feeder ON grid_asset (feeder, id) WHERE feeder <> '';
CREATE INDEX grid_asset_substation ON grid_asset (substation, id) WHERE substation <> '';

-- Each zone of that network, and the zones that it lies within: itself, and what contains
-- it.
CREATE TABLE grid_zone (
    zone   TEXT COLLATE "C" NOT NULL,
    within TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (zone, within)
);

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
