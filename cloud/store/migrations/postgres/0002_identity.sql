-- +goose Up
-- Who may write in a gateway's name. Keys are added and revoked, and neither
-- changed otherwise nor deleted. introduced_by is the key that gave its word for
-- this one, empty if a person enrolled it.
CREATE TABLE gateway_key (
    key_id        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    gateway       TEXT COLLATE "C" NOT NULL REFERENCES gateway (id),
    public_key    TEXT COLLATE "C" NOT NULL,
    added_at      BIGINT NOT NULL,
    added_by      TEXT COLLATE "C" NOT NULL,
    introduced_by TEXT COLLATE "C" NOT NULL,
    revoked_at    BIGINT,
    revoked_by    TEXT COLLATE "C" NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL
);
CREATE INDEX gateway_key_gateway ON gateway_key (gateway);

-- Records that were refused lately for what their signatures are worth, and the
-- alarm that tells of them; told is the count in its summary.
CREATE TABLE refused (
    gateway TEXT COLLATE "C" NOT NULL,
    reason  TEXT COLLATE "C" NOT NULL,
    records BIGINT NOT NULL,
    first   BIGINT NOT NULL,
    last    BIGINT NOT NULL,
    detail  TEXT COLLATE "C" NOT NULL,
    alarm   TEXT COLLATE "C" NOT NULL DEFAULT '',
    told    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, reason)
);

-- +goose Down
DROP TABLE refused;
DROP TABLE gateway_key;
