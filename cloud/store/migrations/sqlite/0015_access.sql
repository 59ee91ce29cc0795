-- +goose Up
-- People who sign in to the console. password is a PHC string of Argon2id; zones is
-- a comma-separated list, or * for all.
CREATE TABLE console_user (
    name       TEXT   NOT NULL PRIMARY KEY,
    password   TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    zones      TEXT   NOT NULL,
    added_at   BIGINT NOT NULL,
    added_by   TEXT   NOT NULL
) WITHOUT ROWID;

-- Only the SHA-256 of a session's secret is kept. seen moves in steps of minutes.
CREATE TABLE session (
    hash       TEXT   NOT NULL PRIMARY KEY,
    user_name  TEXT   NOT NULL REFERENCES console_user (name),
    begun      BIGINT NOT NULL,
    seen       BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_of_user ON session (user_name);

-- What programs show. Only the SHA-256 is kept.
CREATE TABLE api_token (
    name       TEXT   NOT NULL PRIMARY KEY,
    hash       TEXT   NOT NULL UNIQUE,
    role       TEXT   NOT NULL,
    zones      TEXT   NOT NULL,
    added_at   BIGINT NOT NULL,
    added_by   TEXT   NOT NULL,
    expires    BIGINT NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE api_token;
DROP TABLE session;
DROP TABLE console_user;
