#!/bin/sh
# Run once by the Postgres image, on an empty data folder: the login of the dashboards, which can only read, and of that
# only what `rowstream migrate` grants to rowstream_dashboards.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --set password="$DASHBOARDS_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
DO $$ BEGIN CREATE ROLE rowstream_dashboards NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
CREATE ROLE dashboards LOGIN PASSWORD :'password' CONNECTION LIMIT 10 IN ROLE rowstream_dashboards;
ALTER ROLE dashboards SET default_transaction_read_only = on;
ALTER ROLE dashboards SET statement_timeout = '15s';
SQL
