-- +goose Up
-- What became of the versions that machines have tried, as their gateways say.
CREATE TABLE gateway_update (
    gateway   TEXT NOT NULL REFERENCES gateway (id),
    version   TEXT NOT NULL,
    at        BIGINT NOT NULL,
    origin    TEXT NOT NULL,
    epoch     BIGINT NOT NULL,
    confirmed BOOLEAN NOT NULL,
    cause     TEXT NOT NULL,
    PRIMARY KEY (gateway, version, at)
) WITHOUT ROWID;
CREATE INDEX gateway_update_version ON gateway_update (version);

-- +goose Down
DROP TABLE gateway_update;
