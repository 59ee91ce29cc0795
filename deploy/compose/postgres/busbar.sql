-- The database of the cloud, and its user, who owns it and nothing else.
\set password `cat /run/secrets/database.password`
CREATE ROLE busbar LOGIN PASSWORD :'password';
CREATE DATABASE busbar OWNER busbar ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE busbar FROM PUBLIC;
