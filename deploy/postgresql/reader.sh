#!/usr/bin/env bash
# Once, when the database is made: Grafana's user, who reads the prediction log and writes nothing. PostgreSQL's image runs
# this from /docker-entrypoint-initdb.d; the password comes from a file and stands in no argument.
set -euo pipefail
password=$(cat "${GRAFANA_DATABASE_PASSWORD_FILE:-/run/secrets/grafana-database-password}")
export password
psql --quiet --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password password
CREATE ROLE grafana LOGIN PASSWORD :'password' CONNECTION LIMIT 10;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
GRANT USAGE ON SCHEMA public TO grafana;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO grafana;
-- The bridge makes its tables later.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO grafana;
SQL
