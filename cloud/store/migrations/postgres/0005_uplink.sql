-- +goose Up
-- A token lets a gateway enrol a key of its own, once. Only its SHA-256 is kept.
CREATE TABLE enrolment_token (
    hash       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    gateway    TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires    BIGINT NOT NULL,
    used_at    BIGINT,
    key_id     TEXT COLLATE "C" NOT NULL DEFAULT ''
);

-- +goose Down
DROP TABLE enrolment_token;
