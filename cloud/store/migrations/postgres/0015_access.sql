-- +goose Up
-- People who sign in to the console. password is a PHC string of Argon2id; zones is
-- a comma-separated list, or * for all.
CREATE TABLE console_user (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    password   TEXT COLLATE "C" NOT NULL,
    role       TEXT COLLATE "C" NOT NULL,
    zones      TEXT COLLATE "C" NOT NULL,
    added_at   BIGINT NOT NULL,
    added_by   TEXT COLLATE "C" NOT NULL
);

-- Only the SHA-256 of a session's secret is kept. seen moves in steps of minutes.
CREATE TABLE session (
    hash       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_name  TEXT COLLATE "C" NOT NULL REFERENCES console_user (name),
    begun      BIGINT NOT NULL,
    seen       BIGINT NOT NULL
);
CREATE INDEX session_of_user ON session (user_name);

-- What programs show. Only the SHA-256 is kept.
CREATE TABLE api_token (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash       TEXT COLLATE "C" NOT NULL UNIQUE,
    role       TEXT COLLATE "C" NOT NULL,
    zones      TEXT COLLATE "C" NOT NULL,
    added_at   BIGINT NOT NULL,
    added_by   TEXT COLLATE "C" NOT NULL,
    expires    BIGINT NOT NULL
);

-- +goose Down
DROP TABLE api_token;
DROP TABLE session;
DROP TABLE console_user;
