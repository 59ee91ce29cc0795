-- +goose Up
-- Who may write in a gateway's name. Keys are added and revoked, and neither
-- changed otherwise nor deleted. introduced_by is the key that gave its word for
-- this one, empty if a person enrolled it.
CREATE TABLE gateway_key (
    key_id        TEXT   NOT NULL PRIMARY KEY,
    gateway       TEXT   NOT NULL REFERENCES gateway (id),
    public_key    TEXT   NOT NULL,
    added_at      BIGINT NOT NULL,
    added_by      TEXT   NOT NULL,
    introduced_by TEXT   NOT NULL,
    revoked_at    BIGINT,
    revoked_by    TEXT   NOT NULL,
    reason        TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX gateway_key_gateway ON gateway_key (gateway);

-- Records that were refused lately for what their signatures are worth, and the
-- alarm that tells of them; told is the count in its summary.
CREATE TABLE refused (
    gateway TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    records BIGINT NOT NULL,
    first   BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    detail  TEXT   NOT NULL,
    alarm   TEXT   NOT NULL DEFAULT '',
    told    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, reason)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE refused;
DROP TABLE gateway_key;
