-- +goose Up
-- What users of OpenID Connect providers are called here. Who has had a name keeps it:
-- in the audit it is always the same one of the same issuer.
CREATE TABLE oidc_name (
    name       TEXT   NOT NULL PRIMARY KEY,
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    since      BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX oidc_name_of ON oidc_name (issuer, subject);

-- Sessions on a provider's word: role and zones are what it was worth when they began,
-- under terms. Only the SHA-256 of the secret is kept, and nothing that the provider has
-- issued. sid is what the provider calls its own session, if it says.
CREATE TABLE oidc_session (
    hash       TEXT   NOT NULL PRIMARY KEY,
    user_name  TEXT   NOT NULL REFERENCES oidc_name (name),
    sid        TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    zones      TEXT   NOT NULL,
    terms      TEXT   NOT NULL,
    begun      BIGINT NOT NULL,
    seen       BIGINT NOT NULL,
    ends       BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX oidc_session_of_user ON oidc_session (user_name);

-- By which every process reads what another has had a browser keep while its user is at
-- the provider.
CREATE TABLE oidc_key (
    id         BIGINT NOT NULL PRIMARY KEY,
    secret     BLOB   NOT NULL
);

-- +goose Down
DROP TABLE oidc_key;
DROP TABLE oidc_session;
DROP TABLE oidc_name;
